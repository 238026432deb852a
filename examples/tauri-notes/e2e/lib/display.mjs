// A screen that nobody sits at.
import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";

/** Starts an X server on a free number; gives its name. */
export async function display(t) {
  const args = ["-displayfd", "3", "-screen", "0", "1000x760x24", "-nolisten", "tcp"];
  const server = spawn("Xvfb", args, { stdio: ["ignore", "ignore", "inherit", "pipe"] });
  t.after(() => server.kill());
  const number = await new Promise((resolve, reject) => {
    server.once("error", reject);
    server.stdio[3].once("data", (data) => resolve(data.toString().trim()));
  });
  return `:${number}`;
}

/** Leaves a picture of the screen in the folder that `SHOTS` names, if it names one. */
export async function shoot(app, name) {
  if (!process.env.SHOTS) return;
  await app.painted();
  await promisify(execFile)("import", ["-display", app.display, "-window", "root", `${process.env.SHOTS}/${name}.png`]);
}
