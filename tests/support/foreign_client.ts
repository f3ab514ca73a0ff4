// A depositor and reader in TypeScript, over what openapi-typescript makes of the node's own OpenAPI document (schema.ts)
// and openapi-fetch, which knows of this API nothing but those types: foreign_client BASE TOKEN IDENTIFIER FILE.
// Prints what it was told as one line of JSON. Each member that is used here is one that the document promises.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

// As much of Node.js as is used here.
declare const process: { argv: string[]; exit(code: number): never };
declare function require(name: "node:fs"): { readFileSync(path: string): Uint8Array };
const { readFileSync } = require("node:fs");

type Package = components["schemas"]["Package"];
type Ingest = components["schemas"]["Ingest"];
type Problem = components["schemas"]["Problem"];

const [base, token, identifier, file] = process.argv.slice(2) as [string, string, string, string];
const client = createClient<paths>({ baseUrl: base, headers: { Authorization: `Bearer ${token}` } });

function refused(problem: Problem | undefined, response: Response): never {
  throw new Error(`${response.status} ${problem?.code}: ${problem?.detail} ${problem?.remedy}`);
}

async function main(): Promise<void> {
  const body = readFileSync(file);
  const stored = await client.PUT("/v1/packages/{identifier}", {
    params: { path: { identifier }, query: { kind: "file", filename: "tệp.bin", title: "Hồ sơ" }, header: { Prefer: "wait=0" } },
    headers: { "Content-Type": "application/octet-stream" },
    body: body as unknown as string,
    bodySerializer: (bytes) => bytes as unknown as BodyInit,
  });
  if (stored.error) refused(stored.error, stored.response);
  const place = stored.response.headers.get("Location") ?? "";
  let ingest: Ingest | undefined;
  while (ingest?.state !== "receipted") {
    const asked = await client.GET("/v1/ingests/{ingest_id}", {
      params: { path: { ingest_id: place.split("/").pop() ?? "" }, query: { wait: 10 } },
    });
    if (asked.error) refused(asked.error, asked.response);
    ingest = asked.data;
  }
  const looked = await client.GET("/v1/packages/{identifier}", { params: { path: { identifier } } });
  if (looked.error) refused(looked.error, looked.response);
  const found: Package = looked.data;
  const listed = await client.GET("/v1/packages", { params: { query: { prefix: identifier, limit: 10 } } });
  if (listed.error) refused(listed.error, listed.response);
  const fetched = await client.GET("/v1/content/{identifier}", {
    params: { path: { identifier }, query: { file: "tệp.bin" } },
    parseAs: "arrayBuffer",
  });
  if (fetched.error) refused(fetched.error, fetched.response);
  const absent = await client.GET("/v1/packages/{identifier}", { params: { path: { identifier: `${identifier}-none` } } });
  const problem: Problem | undefined = absent.error;
  console.log(
    JSON.stringify({
      status: stored.response.status,
      receipt: ingest.receipt,
      title: found.descriptive.title,
      copies: found.versions[0]?.copies.map((copy) => copy.state),
      listed: listed.data.items.map((item) => item.identifier),
      same: new Uint8Array(fetched.data as ArrayBuffer).every((byte, at) => byte === body[at]),
      bytes: (fetched.data as ArrayBuffer).byteLength,
      absent: [absent.response.status, problem?.code],
    }),
  );
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
