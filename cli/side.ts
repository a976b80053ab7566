import { Option } from "commander";
import type { Side } from "../core/event.ts";

export interface SideOptions {
  readonly side?: Side;
}

/** For commands that read: both sides may be at hand, and may differ. */
export function sideOption(): Option {
  return new Option("--side <side>", "ask only the cloud, or only the node").choices(["cloud", "node"]);
}
