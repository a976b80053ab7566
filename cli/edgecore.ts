#!/usr/bin/env -S node --max-semi-space-size=1
/** `edgecore`: the same as `tidemark edge`, with the small young generation that only a start flag can ask for. */
import { main } from "./program.ts";
import { processWorld } from "./world.ts";

process.exitCode = await main(["edge", ...process.argv.slice(2)], processWorld());
