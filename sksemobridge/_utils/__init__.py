"""What every station uses: arrays of any library, validation, devices, results kept once a process."""
