import random

from memaudit.data import Entry, fingerprint, sample

ENTRIES = [Entry(f"{i:03}.png", f"{i:03}.png", "10-1") for i in range(100)]


def sources(entries):
    return [entry.source for entry in entries]


def test_a_sample_does_not_depend_on_the_order_of_the_list():
    shuffled = random.Random(1).sample(ENTRIES, len(ENTRIES))
    assert sample(shuffled, 10, seed=3) == sample(ENTRIES, 10, seed=3)


def test_a_sample_has_no_repeats_and_is_sorted():
    chosen = sources(sample(ENTRIES, 40, seed=0))
    assert len(set(chosen)) == 40
    assert chosen == sorted(chosen)


def test_seeds_give_different_samples():
    assert sample(ENTRIES, 10, seed=1) != sample(ENTRIES, 10, seed=2)


def test_a_larger_sample_holds_the_smaller_one():
    assert set(sources(sample(ENTRIES, 5, seed=0))) < set(sources(sample(ENTRIES, 20, seed=0)))


def test_all_are_chosen_for_none_or_more_than_there_are():
    assert sample(ENTRIES[::-1], None, seed=0) == ENTRIES
    assert sample(ENTRIES[::-1], 1000, seed=0) == ENTRIES


def test_every_entry_is_drawn_about_equally_often():
    counts = dict.fromkeys(sources(ENTRIES), 0)
    for seed in range(200):
        for source in sources(sample(ENTRIES, 20, seed)):
            counts[source] += 1
    assert min(counts.values()) > 15  # 40 expected, standard deviation 5.7
    assert max(counts.values()) < 65


def test_the_fingerprint_ignores_order_only():
    whole = fingerprint(ENTRIES)
    touched = [Entry("000.png", "000.png", "10-2"), *ENTRIES[1:]]
    renamed = [Entry("x.png", "000.png", "10-1"), *ENTRIES[1:]]
    captioned = [Entry("000.png", "000.png", "10-1", "a cat"), *ENTRIES[1:]]
    others = [touched, renamed, captioned, ENTRIES[1:]]
    assert fingerprint(ENTRIES[::-1]) == whole
    assert len({whole, *map(fingerprint, others)}) == 5
