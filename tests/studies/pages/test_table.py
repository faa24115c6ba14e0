"""The one way to an HTML table."""

from ipa.studies.pages.document import Cell, html_table


def test_text_is_escaped_and_html_is_not() -> None:
    html = html_table(["a < b", Cell("<i>c</i>")], [["1 & 2", Cell("<b>3</b>")]])
    assert '<th scope="col">a &lt; b</th><th scope="col"><i>c</i></th>' in html
    assert "<tr><td>1 &amp; 2</td><td><b>3</b></td></tr>" in html


def test_a_cell_may_head_its_row_have_a_class_and_something_small_beneath() -> None:
    html = html_table([""], [[Cell("ipa", is_heading=True), Cell("2.5", small="[2, 3]", css="name")]], css="many")
    assert '<table class="many">' in html
    assert '<th scope="row">ipa</th><td class="name">2.5<small>[2, 3]</small></td>' in html
