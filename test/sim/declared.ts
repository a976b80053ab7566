/** What the cluster log says of objects, where a part of it may be lost. */
import type { Log } from "../../core/log.ts";
import { currentLife } from "../../core/registers.ts";

/**
 * Whether the disk may have lost what was declared of an object: its node keeps it then, and the cloud, which says that its
 * answers are not complete, has nothing to say of it.
 */
export function mayBeLost({ registers, problems }: Log, key: string): boolean {
  const lives = [...(registers.objects.get(key)?.values() ?? [])];
  const isDeclared = currentLife(registers, key)?.slots.get("spec")?.cloud !== undefined;
  return problems.length > 0 && !isDeclared && !lives.some(({ over }) => over);
}
