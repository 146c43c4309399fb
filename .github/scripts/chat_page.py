"""The page of `llm-lab serve` in a real browser: type, stream, stop, hover, choose another token, look at attention, settings, reset, keyboard, phone, dark.

    chat_page.py [FOLDER]     exit 1 if anything is not as it should be; FOLDER gets screenshots. Without playwright or Chromium: skipped, and said so.
"""
import os, shutil, sys
from importlib.util import find_spec
from pathlib import Path

root = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root))
chromium = os.environ.get('CHROMIUM') or shutil.which('chromium') or shutil.which('chromium-browser') or shutil.which('google-chrome')
if not find_spec('playwright') or not chromium:
    print('skipped: the page in a browser needs playwright and Chromium')
    sys.exit(0)

import torch
from playwright.sync_api import sync_playwright
from pydoc_data.topics import topics
from llm_lab.api import Service
from llm_lab.batches import GPTDataLoader
from llm_lab.chat import ChatModel, add_chat_tokens, grow_vocab
from llm_lab.gpt_model import GPT, GPTConfig
from llm_lab.serve import serving
from llm_lab.tokenizer import Tokenizer

shots = Path(sys.argv[1]) if len(sys.argv) > 1 else None
if shots: shots.mkdir(parents=True, exist_ok=True)

def small_model():
    "A model that writes words, more or less, and can take turns."
    torch.manual_seed(0)
    text = '\n\n'.join(topics[k] for k in sorted(topics))[:200_000]
    text = ''.join(c if ord(c) < 128 else '?' for c in text) + '<>&"\''
    tokenizer = Tokenizer('char', text=text, unknown='byte')
    config = GPTConfig(arch='qwen3', block_size=192, n_layer=2, n_head=3, n_embd=48, batch_size=16)
    model = GPT(config, tokenizer)
    model.fit(GPTDataLoader(config, tokenizer).prepare_data(text), max_iters=60, eval_interval=0, progress=False)
    return grow_vocab(model, add_chat_tokens(tokenizer)).eval()

def shot(page, name):
    "Keep what it looks like."
    if shots: page.screenshot(path=shots/f'{name}.png')

def wait_until(page, claim, timeout_s=60):
    "Poll from outside: the page's own policy forbids a script to be made from text, as playwright's wait_for_function does."
    for _ in range(20*timeout_s):
        if page.evaluate(claim): return
        page.wait_for_timeout(50)
    raise AssertionError(f'not within {timeout_s} s: {claim}')

def idle(page): wait_until(page, "!document.querySelector('.live') && document.querySelectorAll('.assistant .foot span').length > 0")
def say(page, text):
    page.fill('#text', text)
    page.press('#text', 'Enter')

def settings(page, **values):
    page.click('#open-settings')
    for name, value in values.items(): page.fill(f'#{name}', str(value))
    page.click('#close-settings')

def drive(page, url, said):
    page.goto(url)
    page.wait_for_selector('.hint')
    assert page.inner_text('#name') == 'small <b>'               # a name is text, whatever it looks like
    shot(page, '1-empty')
    settings(page, max_tokens=40, seed=3)
    say(page, '<img src=x onerror="document.title=1"> What is a list?')
    idle(page)
    assert page.locator('.user').inner_text().startswith('<img src=x') and page.locator('main img').count() == 0
    assert page.locator('.assistant .tok').count() >= 30
    shot(page, '2-answer')

    token = page.locator('.assistant .tok').nth(12)
    token.hover()
    assert '%' in page.inner_text('#tip')
    shot(page, '3-hover')
    token.click()
    rows = page.locator('#tip button.row')
    assert rows.count() >= 8
    shot(page, '4-alternatives')
    before = page.locator('.assistant .words').inner_text()
    other = page.locator('#tip button.row:not([aria-current]):not(:disabled)').first
    letter = other.locator('code').inner_text().replace('␣', ' ').replace('⏎', '\n')
    other.click()
    idle(page)
    after = page.evaluate("document.querySelector('.assistant .words').textContent")
    assert after[12] == letter and after[:12] == before[:12], (before, letter, after)

    page.get_by_role('button', name='Attention').click()
    page.wait_for_selector('.look .tok.from')
    page.get_by_label('head').select_option('2')
    page.wait_for_timeout(300)
    page.locator('.assistant .tok').nth(20).hover()
    weights = page.evaluate("[...document.querySelectorAll('.tok')].map(t => Number(t.style.getPropertyValue('--weight')))")
    assert max(weights) > 0 and weights[25] == 0, weights        # it looks back, and nowhere else
    shot(page, '5-attention')

    page.get_by_role('button', name='New', exact=True).click()
    assert page.locator('.turn').count() == 0
    settings(page, max_tokens=150, seed='')
    say(page, 'Go on for long')
    wait_until(page, "document.querySelectorAll('.tok').length > 5")
    page.click('#send')                                          # Stop
    page.wait_for_selector('.foot :text("stopped by you")')
    assert page.locator('.tok').count() < 150

    page.locator('.tok').first.focus()                           # by keyboard alone
    page.keyboard.press('ArrowRight')
    assert page.evaluate("document.activeElement === document.querySelectorAll('.tok')[1]")
    page.keyboard.press('Enter')
    assert page.evaluate("document.activeElement.matches('#tip button')")
    page.keyboard.press('Escape')
    assert page.locator('#tip').is_hidden()
    page.keyboard.press('Alt+n')
    assert page.locator('.turn').count() == 0
    assert page.evaluate("getComputedStyle(document.documentElement).overflowX") != 'scroll' and page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.context.cookies() == [] and page.evaluate('localStorage.length + sessionStorage.length') == 0
    assert said == [], said                                      # nothing in the console, no refused resource

def other_looks(browser, url):
    "A phone, in the dark."
    page = browser.new_context(viewport=dict(width=360, height=700), color_scheme='dark', has_touch=True).new_page()
    page.goto(url)
    page.wait_for_selector('.hint')
    settings(page, max_tokens=60, seed=1)
    say(page, 'What is a module?')
    idle(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.locator('.tok').nth(3).tap()
    assert page.locator('#tip button.row').count() >= 8
    shot(page, '6-phone-dark')
    page.click('#open-settings')
    shot(page, '7-phone-settings')

def main():
    with serving(Service(ChatModel(small_model(), name='small <b>'))) as url, sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        page = browser.new_context(viewport=dict(width=1000, height=720)).new_page()
        said = []
        page.on('console', lambda m: said.append(m.text))
        page.on('pageerror', lambda e: said.append(str(e)))
        drive(page, url, said)
        other_looks(browser, url)
        browser.close()
    print('passed: the page of llm-lab serve, driven in Chromium')

if __name__ == '__main__': main()
