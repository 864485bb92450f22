"""The forms of a page, filled in as by a browser: what has no field or no choice on the page cannot be sent."""

from html.parser import HTMLParser


class PageForm:
    """One form of a page: what a browser sends if nobody touches it, and which values each choice has."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.values: dict[str, str] = {}
        self.choices: dict[str, list[str]] = {}

    def choose(self, name: str, value: str, *, is_chosen: bool) -> None:
        self.choices.setdefault(name, []).append(value)
        if is_chosen:
            self.values[name] = value

    def fill(self, given: dict[str, str]) -> dict[str, str]:
        """Return what the form sends once some of its fields are filled in."""
        for name, text in given.items():
            assert name in self.values or name in self.choices, f"no field {name} in {self.action}"
            assert text in self.choices.get(name, [text]), f"no choice {text} of {name} in {self.choices[name]}"
        return self.values | given


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[PageForm] = []
        self.select = ""
        self.option: tuple[str, bool] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = {name: text or "" for name, text in attrs}
        if tag == "form":
            self.forms.append(PageForm(own.get("action", "")))
        elif tag == "select" and self.forms:
            self.select = own["name"]
        elif tag == "option" and self.forms:
            is_chosen = "selected" in own or self.select not in self.forms[-1].choices
            self.option = None if "value" in own else ("", is_chosen)
            if "value" in own:
                self.forms[-1].choose(self.select, own["value"], is_chosen=is_chosen)
        elif tag == "input" and self.forms and "name" in own:
            if own.get("type") in {"checkbox", "radio"}:
                self.forms[-1].choose(own["name"], own.get("value", "on"), is_chosen="checked" in own)
            else:
                self.forms[-1].values.setdefault(own["name"], own.get("value", ""))

    def handle_data(self, data: str) -> None:
        if self.option is not None:
            self.option = (self.option[0] + data, self.option[1])

    def handle_endtag(self, tag: str) -> None:
        if tag == "option" and self.option is not None:
            text, is_chosen = self.option
            self.forms[-1].choose(self.select, text.strip(), is_chosen=is_chosen)
            self.option = None


def read_forms(page: str) -> list[PageForm]:
    """Return the forms of a page, in their order."""
    reader = _Reader()
    reader.feed(page)
    return reader.forms
