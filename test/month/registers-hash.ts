import type { Log } from "../../core/log.ts";
import { stateHash } from "../../core/projection.ts";
import { registersProjection } from "../../core/registers.ts";
import { nodeDigest } from "../../core/store/node-digest.ts";

/** Equal for equal states. */
export function registersHash({ registers }: Log): string {
  return stateHash(registersProjection, registers, nodeDigest);
}
