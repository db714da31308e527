import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeInput, FakePage } from "./browser.fake";
import { Fields, isEmpty } from "./fields";

const from = (input: FakeInput) => ({ composedPath: () => [input] }) as unknown as Event;

test("fields are found by autocomplete, name and type; hidden inputs are none", () => {
  const hidden = new FakeInput("hidden", "username");
  const email = new FakeInput("email", "login");
  const password = new FakeInput("password", "pw");
  new FakePage([hidden, email, password]);
  const fields = new Fields();
  assert.equal(fields._find("username"), email);
  assert.equal(fields._find("password"), password);
  assert.equal(fields._watch(from(hidden)), undefined);
  assert.equal(fields._watch(from(new FakeInput("text", "search"))), undefined);
});

test("a password stays secret when show-password turns it into text, whatever its name", () => {
  const password = new FakeInput("password", "username");
  new FakePage([password]);
  const fields = new Fields();
  assert.equal(fields._watch(from(password)), "password");
  password.type = "text";
  assert.equal(fields._watch(from(password)), "password");
});

test("a password outside the page's own selector is nobody's, not a username", () => {
  const pin = new FakeInput("password", "username");
  const password = new FakeInput("text", "secret");
  new FakePage([pin, password]);
  const fields = new Fields(undefined, "input[name=secret]");
  assert.equal(fields._watch(from(pin)), undefined);
  pin.type = "text";
  assert.equal(fields._watch(from(pin)), undefined);
  assert.equal(fields._watch(from(password)), "password");
});

test("the show-password button may be the first thing that is used", () => {
  const password = new FakeInput("text", "username");
  new FakePage([password]);
  let report: (records: object[]) => void = () => {};
  Object.assign(globalThis, { MutationObserver: class { constructor(callback: typeof report) { report = callback; } observe() {} } });
  const fields = new Fields();
  report([{ target: password, oldValue: "password" }]);
  assert.equal(fields._watch(from(password)), "password");
});

test("one element per role and page: the first that is used, unless it goes away", () => {
  const first = new FakeInput("password", "first");
  const second = new FakeInput("password", "second");
  new FakePage([first, second]);
  const fields = new Fields();
  assert.equal(fields._watch(from(second)), "password");
  fields._loose = false;
  assert.equal(fields._watch(from(first)), undefined);
  assert.equal(fields._find("password"), second);
  second.isConnected = false;
  assert.equal(fields._watch(from(first)), "password");
});

test("emptiness is asked of a clone", () => {
  const input = new FakeInput("text", "x");
  assert.equal(isEmpty(input as unknown as HTMLInputElement), true);
  input.empty = false;
  assert.equal(isEmpty(input as unknown as HTMLInputElement), false);
});
