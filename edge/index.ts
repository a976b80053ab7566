export { Edge, type EdgeOptions } from "./edge.ts";
export { type EdgeProcessOptions, type RunningEdge, startEdge } from "./edge-process.ts";
