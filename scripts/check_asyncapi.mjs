// Parse AsyncAPI documents with the AsyncAPI project's own parser; prints one JSON line per document.
//
//   node check_asyncapi.mjs FILE...

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const ERROR = 0;

for (const path of process.argv.slice(2)) {
  const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"));
  const errors = diagnostics
    .filter((diagnostic) => diagnostic.severity === ERROR)
    .map((diagnostic) => `${diagnostic.path.join("/")}: ${diagnostic.message}`);
  const messages = document ? document.messages().length : 0;
  console.log(JSON.stringify({ path, errors, messages, channels: document ? document.channels().length : 0 }));
}
