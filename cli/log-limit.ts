import { InvalidArgumentError, Option } from "commander";
import { parseQuantity, sizeText } from "../core/size.ts";

const mebi = 1024 * 1024;
/** LevelDB alone takes some files of 4 MiB before it puts them in order. */
const leastBytes = 16 * mebi;

interface LimitDefault {
  readonly bytes: number;
  readonly text: string;
}

/** What fits on the card of a small board, and on the disk of a server. */
const defaults: Readonly<Record<"edge" | "cloud", LimitDefault>> = {
  edge: { bytes: 1024 * mebi, text: "1Gi" },
  cloud: { bytes: 10 * 1024 * mebi, text: "10Gi" },
};

/** `--log-limit`: bytes, 0 for none. */
export function logLimitOption(of: "edge" | "cloud" | "each"): Option {
  const flag = (what: string): Option => new Option("--log-limit <size>", what).argParser(parseLogLimit);
  const unlimited = "0: as much as there is";
  if (of === "each") {
    const { edge, cloud } = defaults;
    const what = `what the log of each process may take on the disk; ${unlimited}`;
    return flag(`${what} (default: ${cloud.text} in the cloud, ${edge.text} on a node)`);
  }
  const { bytes, text } = defaults[of];
  return flag(`what the log may take on the disk; ${unlimited}`).default(bytes, text);
}

/** @throws InvalidArgumentError for what is no size, or too small to work */
export function parseLogLimit(text: string): number {
  const bytes = parseQuantity(text);
  if (bytes === undefined)
    throw new InvalidArgumentError("A size is a number with a unit: 512Mi, 2Gi, 1.5G.");
  if (bytes === 0 || bytes >= leastBytes) return bytes;
  throw new InvalidArgumentError(
    `${sizeText(bytes)} is too small for a log to work: 16Mi or more, or 0 for as much as there is.`,
  );
}
