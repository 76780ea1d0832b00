// A server behind banger-dns-front in a process of its own, to be killed: prints its port and the helper's pid.
import { readFileSync } from "node:fs";
import { createDnsFront } from "../../src/host/dns-front.ts";
import { serve } from "./asking.ts";

const [helper = "", directory = ""] = process.argv.slice(2);
const server = await serve({ front: createDnsFront({ helper, directory }) });
const [child] = readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8").trim().split(" ");
console.log(`${server.port} ${child}`);
