// What the pages must withstand, in a real browser against real nodes. Takes
// the environment of mainjob.mjs and OTHER_TICKET, a second operator of the
// same team; takes screenshots on a phone and in the dark into SHOTS.
//
// Run: node browser/pages.mjs
import assert from 'node:assert/strict';
import { env, finish, launch, person, shot, widget } from './browser.mjs';

const [a, b, org, team] = ['BASE_A', 'BASE_B', 'ORG', 'TEAM'].map(env);
const PAYLOAD = '<img src=x onerror="document.title=1"><script>document.title=2</script>';
const phone = { width: 390, height: 780 };

const browser = await launch();
try {
  const visitor = await person(browser, 'visitor', { ...phone, scheme: 'dark' });
  const second = await person(browser, 'second visitor', { width: 1100, height: 760 });
  const operator = await person(browser, 'operator', { scheme: 'dark' });
  const other = await person(browser, 'other operator', phone);
  const supervisor = await person(browser, 'supervisor', { ...phone, height: 900, scheme: 'dark' });
  const cut = await cutter(visitor.page);
  const meddle = await meddler(operator.page);

  await openWidgetByKeyboard(visitor);
  await hostileFramesAreNotHeard(visitor);
  await visitorsWaitInOrder(visitor, second);
  await signIn(operator, `${b}/console/#ticket=${env('OPERATOR_TICKET')}`);
  await staleStatusIsSaid(operator, meddle);
  await offersAreTakenInOrder(operator, other);
  await textStaysText(visitor, operator);
  await lossIsSeenAndRepaired(visitor, operator, cut);
  await statusForAWhileAndForLater(operator);
  await unreadShowsOnTheButton(visitor, operator);
  await signingOutWaitsForTheCall(operator, visitor);
  await boardOnAPhone(supervisor, other);
  await brokenLinksAreSaid(second);
  finish(visitor, second, operator, other, supervisor);
  console.log('pages: ok');
} finally {
  await browser.close();
}

/** A way to cut the page's connection and to keep new ones from opening. */
async function cutter(page) {
  const open = new Set();
  let down = false;
  await page.routeWebSocket(/\/ws$/, (ws) => {
    if (down) return ws.close({ code: 1013 });
    ws.connectToServer();
    open.add(ws);
  });
  return {
    async down() {
      down = true;
      for (const ws of open) await ws.close({ code: 1013 });
      open.clear();
    },
    up: () => (down = false),
  };
}

/** A way to make the next status frame of the page a stale one. */
async function meddler(page) {
  let stale = false;
  await page.routeWebSocket(/\/ws$/, (ws) => {
    const server = ws.connectToServer();
    ws.onMessage((text) => {
      if (stale && String(text).includes('"t":"status"')) {
        stale = false;
        text = String(text).replace(/"version":\d+/, '"version":1');
      }
      server.send(text);
    });
  });
  return () => (stale = true);
}

async function openWidgetByKeyboard({ page }) {
  await page.goto(`${a}/demo/?org=${org}&team=${team}`);
  const button = page.getByRole('button', { name: 'Chat with us' });
  await button.waitFor();
  const added = await page.evaluate(() => {
    const bare = document.body.appendChild(document.createElement('iframe'));
    const names = Object.keys(window).filter((name) => !(name in bare.contentWindow) && !/^\d+$/.test(name));
    bare.remove();
    return names;
  });
  assert.deepEqual(added, ['switchboardWidget'], 'left on window');
  await button.focus();
  await page.keyboard.press('Enter');
  const chat = widget(page);
  await chat.getByLabel('Your name').waitFor();
  await shot(page, 'phone-dark-start');
  await chat.getByLabel('Your name').press('Escape');
  await page.locator('iframe[title="Chat with us"]').waitFor({ state: 'hidden' });
  await page.keyboard.press('Enter');
  await chat.getByLabel('Your name').waitFor();
}

/** Only the frame that the script made is heard, not even another one of the same origin. */
async function hostileFramesAreNotHeard({ page }) {
  await page.evaluate(async () => {
    const frame = document.createElement('iframe');
    frame.name = 'hostile';
    frame.src = '/assets/icon.svg';
    const loaded = new Promise((done) => frame.addEventListener('load', done));
    document.body.append(frame);
    await loaded;
    window.heard = 0;
    addEventListener('message', () => window.heard++);
  });
  await page.frame('hostile').evaluate(() => {
    parent.postMessage({ switchboard: 'unread', count: 7 }, '*');
    parent.postMessage({ switchboard: 'minimise' }, '*');
  });
  await page.waitForFunction(() => window.heard === 2); // the widget's listener came first, and has run
  assert.ok(await page.locator('iframe[title="Chat with us"]').isVisible(), 'a stranger hid the chat');
  assert.equal(await page.getByRole('button', { name: /new/ }).count(), 0, 'a stranger set the counter');
  await page.evaluate(() => document.querySelector('iframe[name="hostile"]').remove());
}

async function visitorsWaitInOrder(first, second) {
  const chat = widget(first.page);
  await chat.getByLabel('Your name').fill(PAYLOAD.slice(0, 70));
  await chat.getByRole('textbox', { name: 'Message' }).fill(PAYLOAD);
  await chat.getByRole('button', { name: 'Start chat' }).click();
  await chat.getByText('You are next in line.').waitFor();
  await second.page.goto(`${b}/demo/?org=${org}&team=${team}`);
  await second.page.getByRole('button', { name: 'Chat with us' }).click();
  const behind = widget(second.page);
  await behind.getByLabel('Your name').fill('Ulla Berg');
  await behind.getByRole('button', { name: 'Start chat' }).click();
  await behind.getByText('You are number 2 in line.').waitFor();
  await shot(first.page, 'phone-dark-waiting');
}

async function signIn({ page }, link) {
  await page.goto(link);
  await page.getByText('Live', { exact: true }).waitFor();
}

async function staleStatusIsSaid({ page }, meddle) {
  const picker = page.getByLabel('My status');
  await picker.selectOption('Break');
  await page.locator('.status[data-status="Break"]').waitFor();
  meddle();
  await picker.selectOption('Meal');
  await page.getByText('Your status was changed elsewhere').waitFor();
  assert.equal(await picker.inputValue(), 'Break', 'the selector shows what holds');
}

async function offersAreTakenInOrder(operator, other) {
  await operator.page.getByLabel('My status').selectOption('Available');
  // The one who waited longest is first; his name is shown as he wrote it.
  const accept = operator.page.getByRole('button', { name: /^Accept the chat with/ }).first();
  await accept.waitFor();
  await operator.page.getByText('New chat from Ulla Berg').waitFor();
  await shot(operator.page, 'dark-offers');
  await accept.click();
  await signIn(other, `${a}/console/#ticket=${env('OTHER_TICKET')}`);
  await other.page.getByLabel('My status').selectOption('Available');
  await shot(other.page, 'phone-console');
  // What one declines goes to the other.
  await operator.page.getByRole('button', { name: 'Decline the chat with Ulla Berg' }).click();
  const take = other.page.getByRole('button', { name: 'Accept the chat with Ulla Berg' });
  await take.click();
  await take.waitFor({ state: 'hidden' }); // its name has the chat's in it
  await other.page.getByRole('button', { name: 'Ulla Berg' }).click();
  await other.page.getByRole('heading', { name: 'Ulla Berg' }).waitFor();
  await shot(other.page, 'phone-conversation');
  await other.page.getByRole('button', { name: 'Back to the list' }).click();
  await other.page.getByText('1 chat ·').waitFor();
}

/** Names and messages are text and nothing else, everywhere they appear. */
async function textStaysText(visitor, operator) {
  await operator.page.locator('.text', { hasText: PAYLOAD }).waitFor();
  for (const { page } of [visitor, operator]) {
    assert.doesNotMatch(await page.title(), /^[12]$/);
    assert.equal(await page.locator('img[src="x"]').count(), 0);
  }
  assert.equal(await widget(visitor.page).locator('.text').first().innerText(), PAYLOAD);
}

async function lossIsSeenAndRepaired(visitor, operator, cut) {
  const chat = widget(visitor.page);
  await cut.down();
  await chat.getByText(/Connection lost\./).waitFor();
  await chat.getByRole('textbox', { name: 'Message' }).fill('written in a tunnel');
  await chat.getByRole('textbox', { name: 'Message' }).press('Enter');
  await chat.getByText('Sending…').waitFor();
  await shot(visitor.page, 'phone-dark-lost');
  await operator.page.getByRole('textbox', { name: 'Message' }).fill('said meanwhile');
  await operator.page.getByRole('textbox', { name: 'Message' }).press('Enter');
  cut.up();
  await operator.page.locator('.text', { hasText: 'written in a tunnel' }).waitFor();
  await chat.locator('.text', { hasText: 'said meanwhile' }).waitFor();
  await chat.getByText('Sending…').waitFor({ state: 'hidden' });
  const texts = await chat.locator('.text').allInnerTexts();
  assert.deepEqual(texts, [PAYLOAD, 'said meanwhile', 'written in a tunnel']);
  assert.deepEqual(await operator.page.locator('.conversation .text').allInnerTexts(), texts);
}

/** S-1, S-2: a status for after the chat can be taken back; one with an end goes back to what was. */
async function statusForAWhileAndForLater({ page }) {
  const picker = page.getByLabel('My status');
  await page.getByLabel('After my last chat or call').check();
  await picker.selectOption('Meal');
  await page.getByText('After this: Meal').waitFor();
  assert.equal(await picker.inputValue(), 'Available', 'it is for later');
  await shot(page, 'dark-pending');
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText('After this: Meal').waitFor({ state: 'hidden' });
  await page.getByLabel('For how long').selectOption('For 15 minutes');
  await picker.selectOption('Break');
  await page.getByText(/^Break until/).waitFor();
  await page.getByRole('button', { name: 'End it now' }).click();
  await page.getByText(/^Break until/).waitFor({ state: 'hidden' });
  assert.equal(await picker.inputValue(), 'Available', 'back to what was');
}

async function unreadShowsOnTheButton(visitor, operator) {
  await widget(visitor.page).getByRole('button', { name: 'Hide the chat' }).click();
  await operator.page.getByRole('textbox', { name: 'Message' }).fill('Are you there?');
  await operator.page.getByRole('textbox', { name: 'Message' }).press('Enter');
  const button = visitor.page.getByRole('button', { name: 'Chat with us, 1 new' });
  await button.waitFor();
  await button.click();
  await visitor.page.getByRole('button', { name: 'Chat with us', exact: true }).waitFor({ state: 'attached' });
}

async function signingOutWaitsForTheCall(operator, visitor) {
  const { page } = operator;
  await page.getByRole('button', { name: 'Start test call' }).click();
  await page.locator('.side .status[data-status="In-call"]').waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('button', { name: 'Finish and sign out' }).click();
  await page.getByText('Still open: 1 chat and 1 call.').waitFor();
  await shot(page, 'dark-leaving');
  const chat = widget(visitor.page);
  await chat.getByRole('button', { name: 'End chat' }).click();
  await chat.getByRole('dialog').getByRole('button', { name: 'End chat' }).click();
  await chat.getByText('This chat has ended').waitFor();
  await page.getByText('Still open: 1 call.').waitFor();
  await page.getByRole('button', { name: /End test call/ }).click();
  await page.getByRole('heading', { name: /You (are|were) signed out/ }).waitFor();
  await chat.getByRole('button', { name: 'Start a new chat' }).click();
  await chat.getByLabel('Your name').waitFor();
}

async function boardOnAPhone(supervisor, other) {
  const { page } = supervisor;
  await other.page.getByLabel('After my last chat or call').check();
  await other.page.getByLabel('My status').selectOption('Meal');
  await signIn(supervisor, `${a}/supervisor/#ticket=${env('SUPERVISOR_TICKET')}`);
  await page.locator('.status[data-status="In-chat"]').waitFor();
  await page.getByText('then Meal').waitFor();
  await supervisorSetsAStatus(supervisor, other);
  await page.getByLabel('Networks').fill('198.51.100.0/24\nnot a network');
  await page.getByLabel('Reason').fill('Test');
  await page.getByRole('button', { name: 'Sign out…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Sign out' }).click();
  await page.getByText('“not a network” is not a network').waitFor();
  await page.getByLabel('Find by name').fill('nobody');
  await page.getByText('Nobody matches.').waitFor();
  await page.getByLabel('Find by name').fill('');
  const folder = page.viewportSize();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= folder.width, `the board is ${wide} wide on a screen of ${folder.width}`);
  await shot(page, 'phone-dark-board');
  await page.setViewportSize({ width: 1300, height: 800 });
  await shot(page, 'dark-board');
}

/** A9: the operator sees who set it and why, and cannot undo it before its time. */
async function supervisorSetsAStatus({ page }, other) {
  const box = page.getByRole('checkbox', { name: /^Select (?!everybody)/ });
  const row = page.locator('tr', { hasText: 'then Meal' });
  await row.locator(box).check();
  await page.getByLabel('Status to set').selectOption('Unavailable');
  await page.getByLabel('How long').selectOption('for 5 minutes, fixed');
  await page.getByLabel('Why', { exact: true }).fill('training');
  await page.getByRole('button', { name: 'Set for 1 operator' }).click();
  await page.getByText('Done.').waitFor();
  await page.getByText(/set to Unavailable · by a supervisor · training · until/).waitFor();
  await shot(page, 'phone-dark-setstatus');
  await other.page.getByText(/Unavailable by a supervisor \(training\) until/).waitFor();
  await other.page.getByLabel('My status').selectOption('Available');
  await other.page.getByText(/a supervisor has set this status/i).waitFor();
  assert.equal(await other.page.getByLabel('My status').inputValue(), 'Unavailable');
  await page.locator('tr', { hasText: 'training' }).locator(box).uncheck();
}

async function brokenLinksAreSaid({ page, context }) {
  const staff = await context.newPage();
  await staff.goto(`${a}/console/#ticket=spent`);
  await staff.getByText('This link does not work any more.').waitFor();
  assert.ok(!staff.url().includes('ticket'));
  await shot(staff, 'sign-in');
  await page.goto(`${a}/widget/?org=999999`);
  await page.getByRole('button', { name: 'Try again' }).waitFor();
}
