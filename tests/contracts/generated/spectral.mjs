// Hold OpenAPI documents against Spectral's recommended rules; prints one JSON line per document.
//
//   node spectral.mjs FILE...

import { readFileSync } from "node:fs";
import core from "@stoplight/spectral-core";
import parsers from "@stoplight/spectral-parsers";
import rulesets from "@stoplight/spectral-rulesets";

const spectral = new core.Spectral();
spectral.setRuleset({ extends: [[rulesets.oas, "recommended"]] });

for (const path of process.argv.slice(2)) {
  const document = new core.Document(readFileSync(path, "utf8"), parsers.Json, path);
  const found = await spectral.run(document);
  console.log(JSON.stringify({ path, found: found.map((one) => `${one.code} ${one.path.join("/")}: ${one.message}`) }));
}
