// The main job in a real browser, over two nodes: a visitor on a customer's
// page at node A, an operator at node B, a supervisor who signs the operator
// out while the chat is open.
//
// BASE_A, BASE_B       addresses of two nodes, http://127.0.0.1:8081
// ORG, TEAM            where the visitor's chat goes
// OPERATOR_TICKET      one-time tickets, as demo links carry them
// SUPERVISOR_TICKET
// SHOTS                folder for screenshots; none are taken without it
//
// Exit status 0: everything was seen. Run: node browser/mainjob.mjs
import assert from 'node:assert/strict';
import { env, finish, launch, person, shot, widget } from './browser.mjs';

const [a, b, org, team] = ['BASE_A', 'BASE_B', 'ORG', 'TEAM'].map(env);
const browser = await launch();
try {
  const visitor = await person(browser, 'visitor');
  const operator = await person(browser, 'operator');
  const supervisor = await person(browser, 'supervisor', { width: 1360, height: 860 });
  await story(visitor, operator, supervisor);
  finish(visitor, operator, supervisor);
  console.log('main job: ok');
} finally {
  await browser.close();
}

async function story(visitor, operator, supervisor) {
  const desk = operator.page;
  const board = supervisor.page;
  const shop = visitor.page;
  const chat = widget(shop);

  // The operator comes online; the ticket leaves the address bar.
  await desk.goto(`${b}/console/#ticket=${env('OPERATOR_TICKET')}`);
  await desk.getByText('Live', { exact: true }).waitFor();
  assert.ok(!desk.url().includes('ticket'), 'the ticket stayed in the address');
  const name = await desk.locator('.me .who').innerText();
  await desk.getByLabel('My status').selectOption('Available');
  await desk.locator('.status[data-status="Available"]').waitFor();

  // The supervisor sees it.
  await board.goto(`${a}/supervisor/#ticket=${env('SUPERVISOR_TICKET')}`);
  const row = board.getByRole('row').filter({ hasText: name });
  await row.locator('.status[data-status="Available"]').waitFor();

  // A visitor starts a chat from the shop.
  await shop.goto(`${a}/demo/?org=${org}&team=${team}`);
  await shop.getByRole('button', { name: 'Chat with us' }).click();
  await chat.getByLabel('Your name').fill('Bo Lindqvist');
  await chat.getByRole('textbox', { name: 'Message' }).fill('My invoice is wrong');
  await shot(shop, 'visitor-start');
  await chat.getByRole('button', { name: 'Start chat' }).click();
  const accept = desk.getByRole('button', { name: 'Accept the chat with Bo Lindqvist' });
  await accept.waitFor();
  await shot(desk, 'operator-offer');
  await accept.click();
  await chat.getByText(name).first().waitFor();
  await row.locator('.status[data-status="In-chat"]').waitFor();

  // Typing is seen on both sides, messages pass in both directions.
  const toVisitor = desk.getByRole('textbox', { name: 'Message' });
  const toOperator = chat.getByRole('textbox', { name: 'Message' });
  await desk.locator('.text', { hasText: 'My invoice is wrong' }).waitFor();
  await toVisitor.pressSequentially('Hello Bo, let me have a look.');
  await chat.getByText(`${name} is typing`).waitFor();
  await shot(shop, 'visitor-sees-typing');
  await toVisitor.press('Enter');
  await chat.locator('.text', { hasText: 'let me have a look' }).waitFor();
  await chat.getByText(`${name} is typing`).waitFor({ state: 'hidden' });
  await toOperator.pressSequentially('Thanks! It is number 4711.');
  await desk.getByText('Bo Lindqvist is typing').waitFor();
  await shot(desk, 'operator-sees-typing');
  await toOperator.press('Enter');
  await desk.locator('.text', { hasText: 'number 4711' }).waitFor();

  // A reload of the visitor's page loses nothing and repeats nothing.
  await shop.reload();
  await chat.locator('.text', { hasText: 'number 4711' }).waitFor();
  assert.deepEqual(await chat.locator('.text').allInnerTexts(),
    ['My invoice is wrong', 'Hello Bo, let me have a look.', 'Thanks! It is number 4711.']);

  // The supervisor signs the operator out; the open chat holds it back.
  await row.getByRole('checkbox').check();
  await board.getByLabel('Reason').fill('End of shift');
  await board.getByRole('button', { name: 'Sign out…' }).click();
  await board.getByRole('dialog').getByRole('button', { name: 'Sign out' }).click();
  await board.getByText('When work ends').waitFor();
  await desk.getByText('You will be signed out when your last chat or call ends: End of shift').waitFor();
  await row.getByText('Leaving').waitFor();
  await shot(desk, 'operator-leaving');
  await shot(board, 'supervisor-leaving');

  // Still at work: the chat goes on until the operator closes it.
  await toVisitor.fill('Corrected. You get a new one by mail.');
  await toVisitor.press('Enter');
  await chat.locator('.text', { hasText: 'a new one by mail' }).waitFor();
  await desk.getByRole('button', { name: 'Close chat' }).click();
  await desk.getByRole('dialog').getByRole('button', { name: 'Close chat' }).click();

  await desk.getByRole('heading', { name: 'You were signed out' }).waitFor();
  await desk.getByText('End of shift').waitFor();
  await chat.getByText('This chat has ended').waitFor();
  await row.locator('.status[data-status="Offline"]').waitFor();
  await board.locator('.outcomes .tag[data-outcome="out"]').waitFor();
  await shot(desk, 'operator-signed-out');
  await shot(shop, 'visitor-ended');
  await shot(board, 'supervisor-done');
}
