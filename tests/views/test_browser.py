"""The report and TensorBoard's pages in a headless Chromium, as a person sees them."""

import re

import numpy as np
import pytest
from browsing import assert_soon, chromium, requested, shown
from commands import ask_for_groups, get_json, served
from conftest import make_sweep
from finished_runs import EVIL, hostile_table, random_history, write_run
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from gtzan_jax.jobs.reporting import build, save
from gtzan_jax.metrics import METRICS
from gtzan_jax.rundir.finished import read_finished
from gtzan_jax.rundir.ranking import results_table
from gtzan_jax.space.sweep_file import load_sweep
from gtzan_jax.tables.protocols import PROTOCOLS, make_splits
from gtzan_jax.tables.sources import load_table
from gtzan_jax.views import overview
from gtzan_jax.views.tensorboard import run_name, write_projector, write_runs
from gtzan_jax.views.text import by_stem

SWEEP = load_sweep("assignment", ["epochs=1"])
HISTORY = random_history(SWEEP)

# Everything that a page shows, within components and the frames of its own server as well.
TEXTS = """
const texts = [];
const walk = (node) => {
  for (const child of node.childNodes) {
    if (child.nodeType === Node.TEXT_NODE && child.textContent.trim())
      texts.push(child.textContent.trim());
    if (["STYLE", "SCRIPT"].includes(child.nodeName)) continue;
    if (child.shadowRoot) walk(child.shadowRoot);
    if (child.nodeName === "IFRAME" && child.contentDocument) walk(child.contentDocument);
    walk(child);
  }
};
walk(document);
return texts;
"""


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium that keeps a log of its console and of its requests."""
    with chromium() as chrome:
        yield chrome


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """The report on 768 networks, opened from disk; its table's genres try to break out of it."""
    folder = tmp_path_factory.mktemp("report")
    hostile_table().to_csv(folder / "table.csv", index=False)
    table = load_table(folder / "table.csv")
    run = write_run(folder / "run", SWEEP, HISTORY, table, command=EVIL)
    save(build(read_finished(run), data=str(folder / "table.csv")), run / "report.html")
    browser.get_log("performance")
    browser.get((run / "report.html").as_uri())
    return browser


@pytest.fixture
def fresh(page):
    """The report as it is when it is opened."""
    page.refresh()
    return page


def heading(page, name):
    buttons = page.find_elements(By.CSS_SELECTOR, "#all th button")
    return next(button for button in buttons if button.text.startswith(name))


def column(page, name):
    """Returns the texts of a column of the long table."""
    names = [head.text.split(" ")[0] for head in page.find_elements(By.CSS_SELECTOR, "#all th")]
    cells = """
    const rows = [...document.querySelectorAll("#all tbody tr")];
    return rows.map((row) => row.cells[arguments[0]].textContent);
    """
    return page.execute_script(cells, names.index(name))


def count(page):
    return page.find_element(By.ID, "count").text


def test_every_row_is_shown_best_first(fresh):
    assert count(fresh) == "768 of 768 rows"
    assert column(fresh, "rank") == [str(rank) for rank in range(1, 769)]


def test_a_heading_sorts_by_click_and_by_key(fresh):
    accuracies = np.sort(HISTORY.figures[:, -1, METRICS.index("test_accuracy")].astype(float))
    shown = heading(fresh, "test_accuracy")
    shown.click()
    found = [float(text) for text in column(fresh, "test_accuracy")]
    np.testing.assert_allclose(found, accuracies, atol=6e-5)
    assert shown.find_element(By.XPATH, "..").get_attribute("aria-sort") == "ascending"
    heading(fresh, "test_accuracy").send_keys(Keys.ENTER)
    assert column(fresh, "rank")[0] == "1"
    assert len(fresh.find_elements(By.CSS_SELECTOR, "th[aria-sort]")) == 1
    heading(fresh, "optimizer").send_keys(Keys.SPACE)
    assert column(fresh, "optimizer") == sorted(["adam", "rmsprop", "sgd"] * 256)
    ranks = [int(text) for text in column(fresh, "rank")]
    assert ranks[:256] == sorted(ranks[:256])


def test_the_box_and_the_lists_filter(fresh):
    box = fresh.find_element(By.ID, "words")
    box.send_keys("LEAKY glorot")
    assert count(fresh) == "192 of 768 rows"
    assert set(column(fresh, "activation")) == {"leaky_relu"}
    for name, value, left in (("optimizer", "sgd", 64), ("num_units1", "128", 32)):
        choice = fresh.find_element(By.CSS_SELECTOR, f"select[data-column={name}]")
        Select(choice).select_by_visible_text(value)
        assert count(fresh) == f"{left} of 768 rows"
        assert set(column(fresh, name)) == {value}
    box.send_keys(" nothing")
    assert count(fresh) == "0 of 768 rows"
    fresh.find_element(By.CSS_SELECTOR, "#filters button[type=reset]").click()
    assert_soon(lambda: count(fresh) == "768 of 768 rows")


def test_every_hyperparameter_has_its_list(page):
    lists = page.find_elements(By.CSS_SELECTOR, "#filters select")
    names = [each.get_attribute("data-column") for each in lists]
    assert names == [*SWEEP.axes, "indistinguishable_from_best"]


def test_nothing_leaves_the_page_and_nothing_breaks(page):
    assert page.execute_script("return window.evil") is None
    severe = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []
    asked = {address.partition(":")[0] for address in requested(page)}
    assert asked <= {"file", "data"}
    assert "file" in asked  # the log does hold the requests
    pictures = "return [...document.images].map(i => i.complete && i.naturalWidth > 100)"
    assert all(page.execute_script(pictures))


@pytest.mark.parametrize("width", [390, 820, 1280])
def test_the_page_is_not_wider_than_the_screen(fresh, width):
    with shown(fresh, width):
        for details in fresh.find_elements(By.TAG_NAME, "details"):
            fresh.execute_script("arguments[0].open = true", details)
        widths = "return [document.documentElement.scrollWidth, innerWidth]"
        found, screen = fresh.execute_script(widths)
    assert found <= screen == width


def test_the_summary_is_on_the_first_screen(fresh):
    bottoms = """
    return [...document.querySelectorAll(".summary .part > *")]
      .map((each) => each.getBoundingClientRect().bottom);
    """
    with shown(fresh, 1280, 800):
        found = fresh.execute_script(bottoms)
    assert len(found) > 8
    assert max(found) <= 800


def test_the_table_fits_the_screen_and_shows_the_rest_on_demand(fresh):
    widths = "const t = document.querySelector('.tall'); return [t.scrollWidth, t.clientWidth]"
    shown_heads = (
        "return [...document.querySelectorAll('#all th')].filter(h => h.offsetWidth).length"
    )
    with shown(fresh, 1280):
        found, box = fresh.execute_script(widths)
        assert found <= box
        few = fresh.execute_script(shown_heads)
        fresh.find_element(By.ID, "whole").click()
        assert heading(fresh, "config_id").is_displayed()
        assert fresh.execute_script(shown_heads) > few == 3 + len(SWEEP.axes)


def brightness(page, selector, what):
    """Returns how bright a colour of an element is, from 0 to 255."""
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    colour = page.execute_script(script, selector, what)
    return np.mean([int(part) for part in re.findall(r"\d+", colour)[:3]])


def test_page_and_pictures_follow_the_readers_theme(fresh):
    for theme in ("light", "dark"):
        with shown(fresh, 1280, theme=theme):
            paper, ink = (brightness(fresh, "body", part) for part in ("backgroundColor", "color"))
            script = "return getComputedStyle(document.querySelector('figure.effects img')).filter"
            assert ("invert(1)" in fresh.execute_script(script)) == (theme == "dark")
        assert (paper < 40) == (theme == "dark")
        assert abs(paper - ink) > 150


@pytest.mark.slow
def test_tensorboard_shows_all_runs_and_all_tracks(browser, tmp_path):
    write_runs(tmp_path, SWEEP, HISTORY, list(SWEEP.places))
    points = np.random.default_rng(0).normal(size=(1000, 57))
    numbers = [str(number) for number in range(1000)]
    write_projector(tmp_path, "tracks", points, {"genre": ["rock"] * 1000, "track": numbers})
    with served(tmp_path) as address:
        ask_for_groups(
            address, 768, SWEEP.axes, PROTOCOLS[SWEEP.protocol].metrics
        )  # until everything is read
        browser.get(f"{address}/#hparams")
        total = "Number of matching session groups: 768"
        assert_soon(lambda: total in browser.execute_script(TEXTS))
        names = {run_name(i, config) for i, config in enumerate(SWEEP.configs, start=1)}
        assert_soon(lambda: len(names.intersection(browser.execute_script(TEXTS))) > 10)
        texts = browser.execute_script(TEXTS)
        assert {*SWEEP.axes, "test_accuracy", "leaky_relu", "glorot_uniform"} <= set(texts)
        browser.get("about:blank")  # else only the part behind the # would change
        browser.get(f"{address}/#projector")
        assert_soon(lambda: "Points: 1000" in " ".join(browser.execute_script(TEXTS)))
        assert "metadata.tsv" in browser.execute_script(TEXTS)


@pytest.mark.slow
def test_the_overview_names_its_runs(browser, tmp_path):
    splits = make_splits(load_table("sample"), SWEEP.protocol, 0, 1)
    results = results_table(SWEEP, HISTORY)
    overview.write(tmp_path, SWEEP, splits, results, HISTORY, None, {})
    first = (
        f"best/01 {' '.join(by_stem(SWEEP.configs[SWEEP.places[results.config_id[0]]]).values())}"
    )
    with served(tmp_path) as address, shown(browser, 1280):
        assert_soon(lambda: len(get_json(f"{address}/data/runs")) == 10 + 19 + 1)
        browser.get(f"{address}/#timeseries")
        assert_soon(lambda: {"summary", first} <= set(browser.execute_script(TEXTS)))
        assert "." not in browser.execute_script(TEXTS)


def test_numbers_of_any_axis_filter_whatever_their_spelling(browser, tmp_path):
    """Python writes 1e-05 and 1.0, JavaScript 0.00001 and 1."""
    axes = {"learning_rate": [1.0, 1e-05], "dropout1": [0.0, 0.5]}
    sweep = make_sweep(axes=axes, learning_rates=None, protocol="holdout")
    run = write_run(tmp_path / "run", sweep, random_history(sweep))
    save(build(read_finished(run)), run / "report.html")
    browser.get((run / "report.html").as_uri())
    for name in axes:
        choice = Select(browser.find_element(By.CSS_SELECTOR, f"select[data-column={name}]"))
        choice.select_by_index(1)
    assert count(browser) == "12 of 48 rows"
    assert set(column(browser, "learning_rate")) == {"1"}
    assert set(column(browser, "dropout1")) == {"0"}
    assert len(set(column(browser, "validation_accuracy"))) == 12
