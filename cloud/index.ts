export { Cloud, type CloudOptions } from "./cloud.ts";
export { type CloudProcessOptions, type RunningCloud, startCloud } from "./cloud-process.ts";
