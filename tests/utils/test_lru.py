"""Results kept once per process."""

from concurrent.futures import ThreadPoolExecutor

from sksemobridge._utils.lru import LRUCache


def test_the_memo_is_bounded_and_safe_among_threads():
    memo, asked = LRUCache(max_items=3), []

    def square(key):
        return memo.get(key, lambda: asked.append(key) or key * key)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(square, [0, 1, 2] * 100)) == [0, 1, 4] * 100
    asked.clear()
    assert [square(key) for key in (0, 1, 2, 7, 0)] == [0, 1, 4, 49, 0]
    # Room for three: 0 was the oldest when 7 came.
    assert asked == [7, 0]
