// What a person does with the page.

/** The page of a profile, at an address of the relay. */
export class Notebook {
  static async open(context, url) {
    const page = await context.newPage();
    await page.goto(url);
    return new Notebook(page);
  }

  constructor(page) {
    this.page = page;
  }

  get(testId) {
    return this.page.getByTestId(testId);
  }

  async state(state) {
    await this.page.locator(`html[data-state="${state}"]`).waitFor();
  }

  async start(name) {
    await this.get("start-name").fill(name);
    await this.get("start-button").click();
    await this.state("joined");
  }

  /** Makes an invite; gives its link and its code. */
  async invite() {
    await this.get("invite").click();
    await this.get("invite-code").filter({ hasText: /\S/ }).waitFor();
    const link = await this.get("invite-link").inputValue();
    const code = await this.get("invite-code").textContent();
    return { link, code: code.trim() };
  }

  async closeInvite() {
    await this.get("invite-dialog").getByLabel("Close").click();
  }

  /** On the page that a link opens. */
  async join(name) {
    await this.get("join-name").fill(name);
    await this.get("join-button").click();
    await this.state("joined");
  }

  async write(text) {
    await this.get("new-note").fill(text);
    await this.get("add-note").click();
  }

  async edit(text, instead) {
    await this.note(text).getByRole("button", { name: /^Edit/ }).click();
    await this.page.getByRole("textbox", { name: "Note", exact: true }).fill(instead);
    await this.page.getByRole("button", { name: "Save" }).click();
  }

  /** The row of a device. */
  device(text) {
    return this.get("device").filter({ hasText: text });
  }

  async remove(name) {
    await this.device(name).getByRole("button", { name: `Remove ${name}` }).click();
    await this.get("ask-dialog").getByRole("button", { name: "Remove" }).click();
  }

  async leave() {
    await this.get("leave").click();
    await this.get("ask-dialog").getByRole("button", { name: "Leave and erase" }).click();
    await this.state("empty");
  }

  note(text) {
    return this.get("notes").getByRole("listitem").filter({ hasText: text });
  }

  async sees(...texts) {
    for (const text of texts) await this.note(text).first().waitFor();
  }

  /** Writes a note, and waits until the relay has it. */
  async send(text) {
    await this.write(text);
    await this.sees(text);
    await this.note(text).getByTestId("unsent").waitFor({ state: "detached" });
  }

  async online() {
    await this.get("state").filter({ hasText: /^on-?line/i }).waitFor();
  }

  async nothingQueued() {
    await this.get("queue").filter({ hasText: /^0 waiting$/ }).waitFor();
  }
}

/** A device that takes an invite, says hello to the relay (two messages of the handshake, and one that proves that it has the
 *  key), and nothing to anybody else. */
export async function quietDevice(context, link) {
  const page = await context.newPage();
  await page.routeWebSocket(/\/sync$/, (socket) => {
    const relay = socket.connectToServer();
    let sent = 0;
    socket.onMessage((message) => {
      sent += 1;
      if (sent <= 3) relay.send(message);
    });
  });
  await page.goto(link);
  await page.getByTestId("join-name").fill("Quiet");
  await page.getByTestId("join-button").click();
}

/** Two profiles of one notebook, the second joined by link. */
export async function pair(relay, one, two) {
  const a = await Notebook.open(one, relay.url);
  await a.start("Laptop");
  const { link } = await a.invite();
  const b = await Notebook.open(two, link);
  await b.join("Phone");
  await a.get("invite-joined").waitFor();
  await a.closeInvite();
  return [a, b];
}
