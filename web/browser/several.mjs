// Several people in a chat, in a real browser over two nodes: an operator asks a
// colleague for advice and hands the chat over, a supervisor monitors it, whispers,
// joins and takes it over. The visitor sees who talks to them and nothing else. Takes
// the environment of mainjob.mjs and OTHER_TICKET.
//
// Run: node browser/several.mjs
import assert from 'node:assert/strict';
import { env, finish, launch, person, shot, widget } from './browser.mjs';

const [a, b, org, team] = ['BASE_A', 'BASE_B', 'ORG', 'TEAM'].map(env);
const browser = await launch();
try {
  const people = [];
  for (const name of ['visitor', 'operator', 'other operator', 'supervisor']) people.push(await person(browser, name, { width: 1360, height: 900 }));
  await story(...people.map((p) => p.page));
  finish(...people);
  console.log('several: ok');
} finally {
  await browser.close();
}

async function story(shop, desk, other, board) {
  const chat = widget(shop);
  const enter = async (page, address, ticket) => {
    await page.goto(`${address}#ticket=${env(ticket)}`);
    await page.getByText('Live', { exact: true }).waitFor();
  };
  await enter(desk, `${b}/console/`, 'OPERATOR_TICKET');
  await enter(other, `${a}/console/`, 'OTHER_TICKET');
  await enter(board, `${a}/supervisor/`, 'SUPERVISOR_TICKET');
  const [ines, olu] = [await desk.locator('.me .who').innerText(), await other.locator('.me .who').innerText()];
  const mina = await board.locator('.bar .who').innerText();

  // The chat comes to the one who is Available.
  await desk.getByLabel('My status').selectOption('Available');
  await desk.locator('.status[data-status="Available"]').waitFor();
  await shop.goto(`${a}/demo/?org=${org}&team=${team}`);
  await shop.getByRole('button', { name: 'Chat with us' }).click();
  await chat.getByLabel('Your name').fill('Vera Holm');
  await chat.getByRole('textbox', { name: 'Message' }).fill('Can I return it?');
  await chat.getByRole('button', { name: 'Start chat' }).click();
  await desk.getByRole('button', { name: 'Accept the chat with Vera Holm' }).click();
  await chat.getByText(ines).first().waitFor();
  await other.getByLabel('My status').selectOption('Available');
  await other.locator('.status[data-status="Available"]').waitFor();

  // Advice: asked, given in notes, unseen by the visitor.
  const ask = async (way, name) => {
    await desk.getByRole('button', { name: 'Hand over…' }).click();
    const dialog = desk.getByRole('dialog');
    await dialog.getByLabel('What to do').selectOption(way);
    await dialog.getByLabel('What they should know').fill('She has lost the receipt');
    await dialog.getByLabel('Colleague', { exact: true }).selectOption({ label: `${name} · Available` });
    await shot(desk, 'hand-over');
    await dialog.getByRole('button', { name: way === 'hold' ? 'Transfer' : 'Ask', exact: true }).click();
    await dialog.waitFor({ state: 'hidden' });
  };
  await ask('consult', olu);
  await desk.getByText(`${olu} is asked for advice`).waitFor();
  await other.getByText(`${ines} asks for your advice on Vera Holm`).waitFor();
  await other.getByText('She has lost the receipt').waitFor();
  await shot(other, 'asked-for-advice');
  await other.getByRole('button', { name: 'Accept the chat with Vera Holm' }).click();
  await other.getByText('You are asked for advice.').waitFor();
  await other.locator('.text', { hasText: 'Can I return it?' }).waitFor();
  assert.equal(await other.getByRole('textbox', { name: 'Message' }).count(), 0, 'who is consulted can write to the visitor');
  await other.getByLabel('Note to colleagues').fill('Yes, with the order number');
  await other.getByRole('button', { name: 'Add note' }).click();
  await desk.locator('.notes').getByText('Yes, with the order number').waitFor();
  await shot(desk, 'advice');

  // The supervisor looks in, unseen, and whispers.
  const row = board.getByRole('row').filter({ hasText: ines });
  await row.getByRole('checkbox').check();
  await board.getByRole('button', { name: 'Monitor the chat with Vera Holm' }).click();
  await board.getByText('You monitor this chat.').waitFor();
  await board.locator('.notes').getByText('Yes, with the order number').waitFor(); // from before
  assert.equal(await desk.getByText(mina).count(), 0, 'the operator sees who monitors');
  await board.getByLabel('Note to colleagues').fill('Offer free shipping');
  await board.getByRole('button', { name: 'Add note' }).click();
  await desk.locator('.notes').getByText('Offer free shipping').waitFor();
  await shot(board, 'monitoring');

  // Warm: the chat goes to the colleague in one step; the visitor is told.
  await desk.getByRole('button', { name: 'Hand over to them' }).click();
  await desk.getByText('The chat has gone to somebody else.').waitFor();
  await chat.getByText(olu).first().waitFor();
  await other.getByRole('textbox', { name: 'Message' }).fill('Hello Vera, I take it from here.');
  await other.getByRole('textbox', { name: 'Message' }).press('Enter');
  await chat.locator('.text', { hasText: 'I take it from here' }).waitFor();

  // Barge in, and take over.
  const room = board.getByRole('region', { name: 'Supervised chat' });
  await room.getByRole('button', { name: 'Join' }).click();
  await room.getByText('You have joined this chat.').waitFor();
  await other.getByText(`${mina} has joined`).waitFor();
  await room.getByRole('button', { name: 'Take over' }).click();
  await other.getByText('A supervisor has taken the chat over.').waitFor();
  await chat.getByText(mina).first().waitFor();
  await room.getByRole('textbox', { name: 'Message' }).fill('It is on its way.');
  await room.getByRole('textbox', { name: 'Message' }).press('Enter');
  await chat.locator('.text', { hasText: 'on its way' }).waitFor();
  await shot(board, 'taken-over');

  // Nothing of it is the visitor's, now or after a reload.
  const visitorSees = ['Can I return it?', 'Hello Vera, I take it from here.', 'It is on its way.'];
  assert.deepEqual(await chat.locator('.text').allInnerTexts(), visitorSees);
  await shop.reload();
  await chat.locator('.text', { hasText: 'on its way' }).waitFor();
  assert.deepEqual(await chat.locator('.text').allInnerTexts(), visitorSees);
  for (const secret of ['order number', 'free shipping', 'receipt']) {
    assert.ok(!(await chat.locator('body').innerText()).includes(secret), `the visitor sees ${secret}`);
  }
  await room.getByRole('button', { name: 'Close chat' }).click();
  await board.getByRole('dialog').getByRole('button', { name: 'Close chat' }).click();
  await chat.getByText('This chat has ended').waitFor();
}
