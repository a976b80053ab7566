#!/usr/bin/env node
/** `cloudcore`: the same as `tidemark cloud`. */
import { main } from "./program.ts";
import { processWorld } from "./world.ts";

process.exitCode = await main(["cloud", ...process.argv.slice(2)], processWorld());
