// Whether the official parser finds every platform's AsyncAPI document valid.
import { readFile, readdir } from "node:fs/promises";

import { Parser } from "@asyncapi/parser";

const parser = new Parser();
let invalid = 0;
const entries = await readdir(new URL(".", import.meta.url), { withFileTypes: true });
for (const entry of entries) {
  if (!entry.isDirectory() || entry.name === "node_modules") continue;
  const name = `${entry.name}/asyncapi.json`;
  const text = await readFile(new URL(name, import.meta.url), "utf8");
  const { document, diagnostics } = await parser.parse(text);
  const errors = diagnostics.filter(({ severity }) => severity === 0);
  for (const { message, path } of errors) console.error(`${name}: ${path.join(".")}: ${message}`);
  if (document === undefined || errors.length > 0) invalid += 1;
  else console.log(`${name}: ${document.allMessages().length} messages`);
}
process.exit(invalid === 0 ? 0 : 1);
