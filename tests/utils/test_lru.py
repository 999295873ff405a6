"""Results kept once per process."""

from concurrent.futures import ThreadPoolExecutor

from sksemobridge._utils.lru import LRUCache


def test_the_memo_is_bounded_and_safe_among_threads():
    memo, asked = LRUCache(max_size=3), []

    def square(key):
        return memo.get(key, lambda: asked.append(key) or key * key)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(square, [0, 1, 2] * 100)) == [0, 1, 4] * 100
    asked.clear()
    assert [square(key) for key in (0, 1, 2, 7, 0)] == [0, 1, 4, 49, 0]
    # Room for three: 0 was the oldest when 7 came.
    assert asked == [7, 0]


def test_results_are_bounded_by_their_size_and_a_result_that_is_too_large_drops_no_other():
    memo, asked = LRUCache(max_size=10, size_of=len), []

    def text(length):
        return memo.get(length, lambda: asked.append(length) or length * "a")

    assert [len(text(length)) for length in (4, 5, 11, 4, 5)] == [4, 5, 11, 4, 5]
    assert asked == [4, 5, 11]
    asked.clear()
    # 4 was the oldest when 3 came, and then 4 and 5 have no room beside each other and 3.
    assert [len(text(length)) for length in (3, 5, 3, 4)] == [3, 5, 3, 4]
    assert asked == [3, 4]
