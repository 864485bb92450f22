"""States side by side."""

from marketplace.console.operator.history import compare


def test_what_changed_comes_first_and_members_are_named_by_their_paths():
    before = {"status": "open", "offers": [{"cash": "2"}], "holds": {}, "end": None}
    after = {"status": "matched", "offers": [{"cash": "2"}], "holds": {"hld_1": {"left": "3"}}, "end": None}
    members = [(one.path, one.before, one.after) for one in compare(before, after)]
    assert members == [
        ("status", "open", "matched"),
        ("holds", "{}", None),
        ("holds.hld_1.left", None, "3"),
        ("offers[0].cash", "2", "2"),
        ("end", "\u2013", "\u2013"),
    ]
    assert [one.before for one in compare(None, {"a": 1})] == [None]
