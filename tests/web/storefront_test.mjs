/* storefront_test.mjs: the storefront in a real browser, against a real usherd and a real bridge (F5, S1).
 *
 *     ./usher web-test
 *
 * Each test is a scene with people of its own in one house. Pictures of the screens are left in build/web. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import test, { after, before } from "node:test";
import { House, picture, wait_until } from "./house.mjs";

const axe_source = fs.readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let house;
before(async () => { house = await House.open(); });
after(async () => house?.close());

/* --- steps that many scenes take ------------------------------------------------------------------------ */
const enter = async (page, concert = "Harbour Quartet") => {
  await page.getByRole("link", { name: new RegExp(concert) }).click();
};
const open_date = async (page, index = 0) => {
  await page.getByRole("link", { name: /Choose seats/ }).nth(index).click();
  await page.locator("button.seat.free").first().waitFor();
};
const seat = (page, no) => page.locator(`#seat-${no}`);
const state_of = async (page, no) => (await seat(page, no).getAttribute("class")).replace("seat ", "");
const is_state = (page, no, state) => wait_until(`seat ${no} is ${state}`, async () => (await state_of(page, no)) === state);

async function hold(page, ...seats) {
  for (const no of seats) await seat(page, no).click();
  await page.locator("#hold").click();
  for (const no of seats) await is_state(page, no, "mine");
}

async function charge_and_pay(page) {
  await page.locator("#to-pay").click();
  await page.locator("#charge").click();
  await wait_until("the points are there", async () => (await page.locator("#missing").textContent()) === "");
  await page.locator("#pay").click();
  await page.locator(".ticket img").waitFor();
}

/* Serious and critical findings of axe on the page as it is. */
async function findings(page, where) {
  await page.evaluate(`{${axe_source}}`);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${where}: ${one.id}: ${one.nodes.map((node) => node.target).join(", ")}`);
}

/* --- the scenes --------------------------------------------------------------------------------------------- */
/* T1, C1, C2, R1, P1, B1, M10: the way that everybody goes. */
test("a person buys two seats and gets a ticket", async () => {
  const page = await house.person();
  await picture(page, "1-concerts");
  await enter(page);
  await picture(page, "2-dates");
  await open_date(page);
  await seat(page, 5).click();
  await seat(page, 6).click();
  await picture(page, "3-seats-chosen");
  await page.locator("#hold").click();
  await is_state(page, 6, "mine");
  assert.match(await page.locator(".left").textContent(), /^Held for you, [45]:\d\d left$/);
  await picture(page, "4-seats-held");
  await page.locator("#to-pay").click();
  await page.locator("#charge").waitFor();
  await wait_until("what is missing is proposed", async () => (await page.locator("#amount").inputValue()) === "120000");
  await picture(page, "5-payment");
  await page.goBack();
  await page.locator("button.seat.mine").first().waitFor();
  await charge_and_pay(page);
  await picture(page, "6-ticket");
  assert.match(await page.locator(".ticket").textContent(), /Harbour Quartet.*Stalls, row 1, seat 5/s);
  assert.deepEqual(page.errors, []);
  assert.equal(JSON.parse(house.ctl("info")).reply.sold_count, 2);
});

/* R3, H2: the slower one is told at once, and sees the seat leave without doing anything. */
test("two browsers race for one seat, and the loser is told", async () => {
  const [ann, bob] = await Promise.all([house.person(), house.person()]);
  for (const page of [ann, bob]) {
    await enter(page);
    await open_date(page, 1);
    await seat(page, 15).click();
  }
  /* The button may be gone already: the other's hold takes the seat out of one's choice at once. */
  await Promise.all([ann, bob].map((page) => page.evaluate(() => document.getElementById("hold")?.click())));
  await wait_until("both know", async () => {
    const states = await Promise.all([state_of(ann, 15), state_of(bob, 15)]);
    return states.includes("mine") && states.includes("taken");
  });
  const winner = (await state_of(ann, 15)) === "mine" ? ann : bob;
  const loser = winner === ann ? bob : ann;
  assert.match((await loser.locator("#warned").textContent()) + (await loser.locator(".notice").allTextContents()).join(), /taken|held|holds/i);
  await picture(loser, "7-race-lost");
  /* A seat that is given back is free in the other's browser, live. */
  await winner.getByRole("button", { name: /^Give back/ }).click();
  await is_state(loser, 15, "free");
  assert.deepEqual([...ann.errors, ...bob.errors], []);
});

/* T4, Q2, Q6: the place survives a reload; Q4: the next is admitted when the first has left. */
test("a reload in the waiting room keeps the place", async () => {
  const first = await house.person();
  await enter(first, "New Year Gala");
  await first.getByRole("link", { name: /Choose seats/ }).waitFor();
  const [second, third] = [await house.person(), await house.person()];
  await enter(second, "New Year Gala");
  await wait_until("the second waits", async () => (await second.locator("#rank").textContent()) === "1");
  await enter(third, "New Year Gala");
  await wait_until("the third waits", async () => (await third.locator("#rank").textContent()) === "2");
  await picture(third, "8-waiting-room");
  await second.reload();
  await wait_until("the second is first again", async () => (await second.locator("#rank").textContent()) === "1");
  assert.equal(await third.locator("#rank").textContent(), "2");
  /* The first leaves: the second is let in, the third moves up, both untouched. */
  house.ctl("leave", "--token", await first.evaluate(() => JSON.parse(localStorage.getItem("usher.places"))[1].token));
  await second.getByRole("link", { name: /Choose seats/ }).waitFor();
  await wait_until("the third has moved up", async () => (await third.locator("#rank").textContent()) === "1");
  await third.locator("#leave").click();
  await third.locator("#leave-yes").click();
  await third.locator("#main").getByText("You have left the line.").waitFor();
  house.ctl("leave", "--token", await second.evaluate(() => JSON.parse(localStorage.getItem("usher.places"))[1].token));
  assert.deepEqual([...first.errors, ...second.errors, ...third.errors], []);
});

/* X3, M3, M7: a server that is killed while the payment is asked for takes the money once, or not at all. */
test("the server is killed in the middle of a purchase, and nothing is paid twice", async () => {
  const before = JSON.parse(house.ctl("info")).reply.payment_count;
  const page = await house.person();
  await enter(page);
  await open_date(page, 1);
  await hold(page, 31);
  await house.usherd.stop();
  const interrupted = page.locator("#main").getByText(/The connection is interrupted/);
  await interrupted.waitFor();
  await picture(page, "9-interrupted");
  await house.usherd.start();
  await wait_until("the page is whole", async () => (await interrupted.count()) === 0);
  await page.locator("#to-pay").click();
  await page.locator("#charge").click();
  await wait_until("the points are there", async () => (await page.locator("#missing").textContent()) === "");
  /* The payment's request comes to a server that dies meanwhile; no answer comes back. The page asks on, under its own key. */
  let asked = 0;
  await page.route("**/v1/payments", async (route) => {
    asked += 1;
    if (asked > 1) return route.continue();
    const answer = route.fetch().catch(() => null);
    await house.usherd.stop();
    await answer;
    return route.abort();
  });
  await page.locator("#pay").click();
  await page.locator("#main").getByText(/It is not known yet/).waitFor();
  await page.reload();
  await house.usherd.start();
  await page.locator(".ticket img").waitFor();
  const user = await page.evaluate(() => JSON.parse(localStorage.getItem("usher.user")));
  assert.equal(JSON.parse(house.ctl("balance", "--user", user)).reply.balance, 0);
  assert.equal(JSON.parse(house.ctl("info")).reply.payment_count, before + 1);
  assert.deepEqual(page.errors, []);
});

test("everything can be done with the keyboard alone", async () => {
  const page = await house.person();
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  /* Tab until what has the focus is this; at most a hundred times. */
  const tab_to = async (what) => {
    for (let i = 0; i < 100; i++) {
      await page.keyboard.press("Tab");
      if (await page.evaluate((selector) => document.activeElement.matches(selector), what)) return;
    }
    assert.fail(`Tab never came to ${what}`);
  };
  await page.getByRole("link", { name: /Harbour Quartet/ }).waitFor();
  await tab_to('a[href="#/line/0/1"]');
  await press("Enter");
  await page.getByRole("link", { name: /Choose seats/ }).first().waitFor();
  await tab_to('a[href="#/concert/1/date/2"]');
  await press("Enter");
  await page.locator("button.seat.free").first().waitFor();
  await tab_to("#seat-1");
  await press("ArrowDown", "ArrowRight", "ArrowRight");
  assert.equal(await page.evaluate(() => document.activeElement.id), "seat-13");
  await press("Home", "End", "ArrowLeft", "Space");
  assert.equal(await state_of(page, 19), "picked");
  assert.match(await page.locator("#said").textContent(), /Stalls, row 2, seat 9: chosen/);
  await picture(page, "10-keyboard");
  await tab_to("#hold");
  await press("Enter");
  await is_state(page, 19, "mine");
  await tab_to("#to-pay");
  await press("Enter");
  await page.locator("#charge").waitFor();
  await wait_until("what is missing is proposed", async () => (await page.locator("#amount").inputValue()) === "60000");
  await tab_to("#amount");
  await press("Enter");
  await wait_until("pay has the focus", () => page.evaluate(() => document.activeElement.id === "pay"));
  await press("Enter");
  await page.locator(".ticket img").waitFor();
  assert.deepEqual(page.errors, []);
});

test("the list says the same as the map", async () => {
  const page = await house.person({ viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
  await enter(page);
  await open_date(page, 1);
  await picture(page, "11-phone-map");
  await page.locator("#as-list").click();
  await page.locator("#row-41").click();
  assert.equal(await page.locator("#row-41").getAttribute("aria-pressed"), "true");
  await picture(page, "12-phone-list");
  await page.locator("#as-map").click();
  assert.equal(await state_of(page, 41), "picked");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "no sideways scrolling on a phone");
  await page.locator("#hold").click();
  await is_state(page, 41, "mine");
  await page.getByRole("button", { name: /^Give back/ }).click();
  await is_state(page, 41, "free");
  assert.deepEqual(page.errors, []);
});

test("it speaks Korean to those who wish it", async () => {
  const page = await house.person({ locale: "ko-KR" });
  await page.getByRole("heading", { name: "공연" }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "ko");
  await page.getByRole("link", { name: /Harbour Quartet/ }).click();
  await page.getByRole("link", { name: /좌석 선택/ }).nth(1).click();
  await page.locator("button.seat.free").first().waitFor();
  await seat(page, 21).click();
  assert.match(await page.locator("#said").textContent(), /Balcony 1열 1번: 선택했습니다/);
  await picture(page, "13-korean-seats");
  /* A refusal is said in Korean too: more seats than one request may name. */
  for (const no of [22, 23, 24, 25]) await seat(page, no).click();
  await page.locator("#hold").click();
  assert.match(await page.locator(".notice.bad").textContent(), /[가-힣]/);
  await page.locator("#language-en").click();
  await page.getByRole("heading", { name: "Choose your seats" }).waitFor();
  assert.deepEqual(page.errors, []);
});

/* The stream is cut, and held back: the page goes on by asking. */
test("the waiting room works when the stream does not", async () => {
  const first = await house.person();
  await enter(first, "New Year Gala");
  await first.getByRole("link", { name: /Choose seats/ }).waitFor();
  const page = await house.person();
  await page.route("**/v1/place/events", (route) => route.abort());
  await enter(page, "New Year Gala");
  await wait_until("it waits", async () => (await page.locator("#rank").textContent()) === "1");
  house.ctl("leave", "--token", await first.evaluate(() => JSON.parse(localStorage.getItem("usher.places"))[1].token));
  await page.getByRole("link", { name: /Choose seats/ }).waitFor();
  assert.deepEqual([...first.errors, ...page.errors], []);
});

for (const [name, options] of [["light, desktop", {}], ["dark, phone", { colorScheme: "dark", viewport: { width: 390, height: 844 } }]]) {
  test(`axe finds nothing serious on any screen: ${name}`, async () => {
    const page = await house.person({ ...options, bypassCSP: true });
    const found = [];
    const look = async (where) => found.push(...await findings(page, where));
    await page.getByRole("link", { name: /Harbour Quartet/ }).waitFor();
    await look("concerts");
    await enter(page);
    await page.getByRole("link", { name: /Choose seats/ }).first().waitFor();
    await look("dates");
    await open_date(page, 1);
    const no = await page.locator("button.seat.free").last().getAttribute("id");
    await page.locator(`#${no}`).click();
    await look("seats");
    await page.locator("#hold").click();
    await page.locator("button.seat.mine").waitFor();
    await look("seats held");
    await page.locator("#as-list").click();
    await look("list");
    await page.locator("#to-pay").click();
    await wait_until("the hold is listed", async () => (await page.getByRole("button", { name: /^Give back/ }).count()) === 1);
    await look("payment");
    await picture(page, `14-payment-${options.colorScheme ?? "light"}`);
    await page.locator("#charge").click();
    await wait_until("the points are there", async () => (await page.locator("#missing").textContent()) === "");
    await page.locator("#pay").click();
    await page.locator(".ticket img").waitFor();
    await look("ticket");
    await picture(page, `15-ticket-${options.colorScheme ?? "light"}`);
    await page.goto(`${house.address}#/tickets`);
    await page.getByRole("heading", { name: "My tickets" }).waitFor();
    await look("tickets");
    assert.deepEqual(found, []);
  });
}
