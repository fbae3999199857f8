"""A number that is read again and again while something happens."""

from itertools import count, pairwise

from bench.series import sampled


def test_each_point_is_later_and_none_comes_after_the_end() -> None:
    numbers = count()
    with sampled(lambda: next(numbers), every=0.001) as points:
        while len(points) < 5:
            pass
    seen = len(points)
    assert all(earlier < later for earlier, later in pairwise(points))
    assert [value for _, value in points] == list(range(seen))
    assert next(numbers) == seen
