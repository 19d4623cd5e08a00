// What a page must withstand of its machine and its network, in a real browser: a
// page that was frozen for longer than the server waits (W-1), a network that
// swallows everything (W-1, W-2), side requests that fail while the socket works
// (P-6); and what a widget says of who is there (P-7), what a visitor types (T-5).
//
// FRONT          address of a node by way of a proxy that can be switched
// CONTROL        address of the switch: POST /hole, /heal, /gone (is the visitor's
//                socket gone from the node?)
// BASE_B         another node, directly
// ORG, TEAM, OPERATOR_TICKET   as in mainjob.mjs; the organization shows previews
//
// Run: by TestPagesSurviveSleepAndDeadNetworks in gateway.
import assert from 'node:assert/strict';
import { env, finish, launch, person } from './browser.mjs';

const [front, control, b, org, team] = ['FRONT', 'CONTROL', 'BASE_B', 'ORG', 'TEAM'].map(env);
const browser = await launch();
const phone = await launch(); // the visitor's own, because it is stopped as a whole
try {
  const visitor = await person(phone, 'visitor');
  const operator = await person(browser, 'operator');
  await story(visitor, operator);
  finish(visitor, operator);
  console.log('link: ok');
} finally {
  await Promise.all([browser.close(), phone.close()]);
}

/** Sends a signal to the processes that run the pages of a browser. */
async function signal(of, name) {
  const cdp = await of.newBrowserCDPSession();
  const { processInfo } = await cdp.send('SystemInfo.getProcessInfo');
  const pages = processInfo.filter((p) => p.type === 'renderer');
  assert.ok(pages.length > 0, 'no page to stop');
  for (const { id } of pages) process.kill(id, name);
  await cdp.detach();
}

async function story(visitor, operator) {
  const chat = visitor.page;
  const desk = operator.page;

  // P-7: nobody is there; then somebody comes, goes to a meal, comes back. Nothing is polled.
  await chat.goto(`${front}/widget/?org=${org}&team=${team}`);
  await chat.getByText('Nobody is here right now').waitFor();
  const asked = [];
  chat.on('request', (r) => asked.push(r.url()));
  await desk.goto(`${b}/console/#ticket=${env('OPERATOR_TICKET')}`);
  await desk.getByText('Live', { exact: true }).waitFor();
  const choose = async (status, says) => {
    await desk.getByLabel('My status').selectOption(status);
    await chat.getByText(says).waitFor();
  };
  await choose('Available', 'We are here to help');
  await choose('Meal', 'Nobody is here right now');
  await choose('Available', 'We are here to help');
  assert.deepEqual(asked, [], 'the widget asked for what it is told');

  await chat.getByLabel('Your name').fill('Bo');
  await chat.getByRole('textbox', { name: 'Message' }).fill('first');
  await chat.getByRole('button', { name: 'Start chat' }).click();
  await desk.getByRole('button', { name: 'Accept the chat with Bo' }).click();
  const say = desk.getByRole('textbox', { name: 'Message' });
  const says = async (...texts) => {
    for (const text of texts) {
      await say.fill(text);
      await say.press('Enter');
      await desk.locator('.message:not(.draft) .text', { hasText: text }).waitFor();
    }
  };
  const seen = async (...texts) => {
    await chat.locator('.text', { hasText: texts.at(-1) }).waitFor();
    assert.deepEqual(await chat.locator('.text').allInnerTexts(), texts);
  };
  await says('hello');
  await seen('first', 'hello');

  // T-5: the visitor is told, and the operator sees it with the number masked.
  await chat.getByText('What you type here can be seen before you send it.').waitFor();
  const field = chat.getByRole('textbox', { name: 'Message' });
  await field.pressSequentially('card 4111 1111 1111 1111 ok', { delay: 20 });
  await desk.locator('.preview', { hasText: 'ok' }).waitFor();
  assert.equal(await desk.locator('.preview').innerText(), 'card •••• •••• •••• •••• ok');
  await field.fill('');

  // P-6: the socket works, everything else fails: no banner.
  await desk.route('**/v1/**', (route) => route.abort());
  await says('nothing is wrong');
  await desk.evaluate(() => dispatchEvent(new Event('online'))); // the library looks, and is content
  await desk.waitForTimeout(4_000); // longer than the timeout here
  assert.ok(await desk.getByText('Live', { exact: true }).isVisible());
  assert.equal(await desk.getByText(/Connection lost|No connection yet/).count(), 0, 'a banner although the socket works');
  await desk.unroute('**/v1/**');

  // W-1: the page's process is frozen. The node gives it up; meanwhile the operator
  // writes. After the thaw everything is there, in order, once.
  await signal(phone, 'SIGSTOP');
  await says('while you slept 1', 'while you slept 2');
  await until(async () => (await fetch(`${control}/gone`, { method: 'POST' })).status === 200);
  await says('while you slept 3');
  await signal(phone, 'SIGCONT');
  const all = ['first', 'hello', 'nothing is wrong', 'while you slept 1', 'while you slept 2', 'while you slept 3'];
  await seen(...all);

  // W-1, W-2: the network swallows everything and closes nothing. The page notices
  // by itself, says so, and has what it missed when the network is back.
  await fetch(`${control}/hole`, { method: 'POST' });
  await says('into the hole');
  await chat.getByText(/Connection lost/).waitFor();
  await fetch(`${control}/heal`, { method: 'POST' });
  await seen(...all, 'into the hole');
  await chat.getByText(/Connection lost/).waitFor({ state: 'hidden' });
  await field.fill('back again');
  await field.press('Enter');
  await desk.locator('.text', { hasText: 'back again' }).waitFor();
}

async function until(ok) {
  for (const end = Date.now() + 30_000; !(await ok()); ) {
    assert.ok(Date.now() < end, 'the condition never came true');
    await new Promise((r) => setTimeout(r, 100));
  }
}
