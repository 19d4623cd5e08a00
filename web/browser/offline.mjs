// A team that is closed, in a real browser: the widget takes a message instead of
// a chat; the team opens while a second visitor looks at the form of a chat, and
// closes while they write.
//
// BASE_A               address of a node, http://127.0.0.1:8081
// ORG, TEAM            where the visitor's chat goes
// ADMIN_TOKEN          bearer token of an admin
// SUPERVISOR_TICKET    one-time ticket of a supervisor
// OPERATOR_TICKET      one-time ticket of an operator of the team
// SHOTS                folder for screenshots; none are taken without it
//
// Exit status 0: everything was seen. Run: node browser/offline.mjs
import assert from 'node:assert/strict';
import { env, finish, launch, person, shot, widget } from './browser.mjs';

const [a, org, team, token] = ['BASE_A', 'ORG', 'TEAM', 'ADMIN_TOKEN'].map(env);
const closed = { zone: 'Europe/Berlin', week: {} };
const browser = await launch();
try {
  const [first, second, third] = await Promise.all(['first', 'second', 'third'].map((name) => person(browser, `${name} visitor`)));
  await closedTeamTakesAMessage(first);
  await closingWhileSomebodyWritesLosesNothing(second);
  await closedTeamWithAQueue(third);
  const supervisor = await person(browser, 'supervisor', { width: 1360, height: 900 });
  await messagesAreDealtWith(supervisor);
  await supervisorSeesWhyAChatWaits(supervisor);
  const operator = await person(browser, 'operator');
  await visitorIsAskedBeforeAnOperatorIs(third, operator);
  finish(first, second, third, supervisor, operator);
  console.log('offline: ok');
} finally {
  await browser.close();
}

/** Calls the API as an admin. */
async function api(method, path, body) {
  const res = await fetch(a + path, {
    method, headers: { Authorization: `Bearer ${token}` }, ...(body ? { body: JSON.stringify(body) } : {}),
  });
  assert.ok(res.ok, `${method} ${path}: ${res.status}`);
  return res.status === 204 ? undefined : res.json();
}

async function settings(change) {
  const now = await api('GET', `/v1/teams/${team}`);
  await api('PUT', `/v1/teams/${team}`, { ...now, hours: undefined, closed: undefined, ...change });
}

async function openWidget(page) {
  await page.goto(`${a}/demo/?org=${org}&team=${team}`);
  await page.getByRole('button', { name: 'Chat with us' }).click();
  return widget(page);
}

async function closedTeamTakesAMessage({ page }) {
  await settings({ hours: { ...closed, exceptions: [{ date: tomorrow(), open: [{ from: '09:00', to: '17:00' }] }] } });
  const chat = await openWidget(page);
  await chat.getByRole('heading', { name: 'Nobody is here right now' }).waitFor();
  await chat.getByText(/We open on .*09:00|We open on .*0[789]:00/).waitFor();
  await shot(page, 'visitor-offline-form');
  const button = chat.getByRole('button', { name: 'Leave a message' });
  await chat.getByRole('textbox', { name: 'Message' }).fill('Please call me back');
  await button.click(); // no e-mail: the browser asks for it, nothing is sent
  assert.ok(await chat.getByLabel('E-mail').evaluate((e) => !e.validity.valid), 'the e-mail is not asked for');
  await chat.getByLabel('Your name').fill('Bo Lindqvist');
  await chat.getByLabel('E-mail').fill('bo@shop.example');
  await button.click();
  await chat.getByText('Your message has arrived').waitFor();
  await shot(page, 'visitor-offline-done');
  const [left] = await api('GET', '/v1/offline');
  assert.equal(left.text, 'Please call me back');
  assert.equal(left.email, 'bo@shop.example');
  assert.equal(String(left.team), team);
}

async function closingWhileSomebodyWritesLosesNothing({ page }) {
  await settings({});
  const chat = await openWidget(page);
  const text = chat.getByRole('textbox', { name: 'Message' });
  await chat.getByRole('button', { name: 'Start chat' }).waitFor();
  await text.fill('Is anybody there?');
  await chat.getByLabel('E-mail').fill('bo@shop.example');
  await settings({ hours: closed });
  await chat.getByRole('button', { name: 'Start chat' }).click();
  await chat.getByText('Nobody can answer now').waitFor();
  assert.equal(await text.inputValue(), 'Is anybody there?');
  await chat.getByRole('button', { name: 'Leave a message' }).click();
  await chat.getByText('Your message has arrived').waitFor();
  const list = await api('GET', '/v1/offline');
  assert.deepEqual(list.map((m) => m.text), ['Is anybody there?', 'Please call me back']);
}

async function closedTeamWithAQueue({ page }) {
  await settings({ closed: 'queue', hours: { ...closed, exceptions: [{ date: tomorrow(), open: [{ from: '09:00', to: '17:00' }] }] } });
  const chat = await openWidget(page);
  await chat.getByText('You can already take your place in line').waitFor();
  await chat.getByRole('textbox', { name: 'Message' }).fill('I can wait');
  await chat.getByRole('button', { name: 'Start chat' }).click();
  await chat.getByText(/We open on .* You are number 1 in line/).waitFor();
  await shot(page, 'visitor-waits-for-the-opening');
  await settings({});
  await chat.getByText('You are next in line.').waitFor();
}

/** The board lists what visitors left, and keeps who has dealt with it. */
async function messagesAreDealtWith({ page }) {
  await page.goto(`${a}/supervisor/#ticket=${env('SUPERVISOR_TICKET')}`);
  await page.getByText('Messages left while nobody answered').click();
  const messages = page.locator('.left-message');
  await messages.nth(1).waitFor();
  assert.deepEqual(await messages.locator('.text').allTextContents(), ['Is anybody there?', 'Please call me back']);
  await messages.nth(1).getByRole('button', { name: /Mark the message/ }).click();
  await messages.nth(1).getByText('Done by you').waitFor();
  const [newer, older] = await api('GET', '/v1/offline');
  assert.ok(!newer.done && older.done, 'the wrong message is marked');
  await page.getByRole('button', { name: 'Refresh' }).click();
  await messages.nth(1).getByText(/^Done by .* on /).waitFor();
  await shot(page, 'supervisor-offline-messages');
}

/** The third visitor still waits: nobody is there to take the chat. */
async function supervisorSeesWhyAChatWaits({ page }) {
  await page.getByText('Why?', { exact: true }).click();
  await page.getByLabel('Team whose queue is shown').selectOption(team);
  await page.getByRole('button', { name: /^1\. .*\(chat \d+\)/ }).click();
  await page.locator('.why .answer li', { hasText: 'Sam' }).getByText('has a status that takes no work').waitFor();
  await page.getByRole('checkbox', { name: 'Select Sam' }).check();
  await page.getByText('Gets no chat now:').waitFor();
  await shot(page, 'supervisor-why');
}

/** V-1: the third visitor has said nothing for a while, and is asked before anybody is troubled. */
async function visitorIsAskedBeforeAnOperatorIs(visitor, { page }) {
  await settings({ gone: 'ask', still_after_ms: 1000, still_ms: 600_000 });
  await page.goto(`${a}/console/#ticket=${env('OPERATOR_TICKET')}`);
  await page.getByLabel('My status').selectOption('Available');
  const chat = widget(visitor.page);
  await chat.getByText('Are you still there?').waitFor();
  assert.equal(await page.getByRole('button', { name: /^Accept/ }).count(), 0, 'the operator is troubled before the visitor has answered');
  await shot(visitor.page, 'visitor-still-there');
  await chat.getByRole('button', { name: 'Yes, I am here' }).click();
  await page.getByRole('button', { name: /^Accept/ }).first().waitFor();
  await chat.getByText('Are you still there?').waitFor({ state: 'hidden' });
}

function tomorrow() {
  return new Date(Date.now() + 36 * 3_600_000).toISOString().slice(0, 10);
}
