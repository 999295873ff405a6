"""Results kept once per process."""

import threading

from sksemobridge._utils.lru import LRUCache


def test_the_memo_is_bounded_and_safe_among_threads():
    memo = LRUCache(max_items=3)
    asked = []

    def square(key):
        def compute():
            asked.append(key)
            return key * key

        return memo.get(key, compute)

    threads = [threading.Thread(target=lambda: [square(i % 3) for i in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [square(i) for i in range(3)] == [0, 1, 4]
    asked.clear()
    assert square(7) == 49
    assert square(0) == 0
    assert asked == [7, 0]
    # Room for three: 0 came after 1, which is forgotten.
    assert square(1) == 1
    assert asked == [7, 0, 1]
