#!/usr/bin/env node
import { main } from "./program.ts";
import { processWorld } from "./world.ts";

process.exitCode = await main(process.argv.slice(2), processWorld());
