from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from foveal.evaluate.wording import number, percent, plain, plain_json

BYTES_OF_A_FILE_NAME = st.binary(max_size=60).map(lambda raw: raw.decode(errors="surrogateescape"))


class TestPlain:
    @given(BYTES_OF_A_FILE_NAME | st.text(max_size=60), st.integers(8, 40))
    def test_can_be_written_as_utf8_on_one_line_and_is_not_too_long(
        self, text: str, most: int
    ) -> None:
        shown = plain(text, most)
        shown.encode()
        assert len(shown) <= most
        assert not any(ord(character) < 32 for character in shown)

    def test_keeps_both_ends_of_a_long_name(self) -> None:
        shown = plain("begin" + "x" * 10_000 + "end", 40)
        assert shown.startswith("begin")
        assert shown.endswith("end")
        assert "…" in shown

    def test_leaves_an_ordinary_name_alone(self) -> None:
        assert plain("Ärzte & Söhne – <b>", 40) == "Ärzte & Söhne – <b>"


class TestPercent:
    @given(st.floats(0, 1, exclude_min=True, exclude_max=True))
    def test_never_says_all_or_none_of_what_is_not(self, share: float) -> None:
        assert percent(share) not in ("0.0\xa0%", "100.0\xa0%")

    def test_says_all_and_none_of_what_is(self) -> None:
        assert [percent(share) for share in (0.0, 1.0)] == ["0.0\xa0%", "100.0\xa0%"]

    def test_has_a_real_minus_and_no_minus_nought(self) -> None:
        assert [percent(share) for share in (-0.0123, -0.00001)] == ["−1.2\xa0%", "0.0\xa0%"]


def test_a_number_is_in_percent_or_has_three_decimals() -> None:
    assert number(0.5) == "50.0\xa0%"
    assert number(0.5, in_percent=False) == "0.500"
    assert number(None, in_percent=False) == "–"


def test_json_for_people_survives_names_that_are_not_utf8() -> None:
    plain_json({"path": "caf\udce9"}).encode()
