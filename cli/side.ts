import { Option } from "commander";
import type { Side } from "../core/event.ts";

export interface SideOptions {
  readonly side?: Side;
}

/** Both sides may be at hand, and may differ. */
export function sideOption(description = "ask only the cloud, or only the node"): Option {
  return new Option("--side <side>", description).choices(["cloud", "node"]);
}
