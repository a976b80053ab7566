/** MQTT topic filters: `+` is any one level, `#` at the end is all that follow, and none. */

/** Whether a filter takes a topic. A wildcard in the first place takes no topic that begins with `$`. */
export function filterMatches(filter: string, topic: string): boolean {
  const wanted = filter.split("/");
  const levels = topic.split("/");
  if (topic.startsWith("$") && (wanted[0] === "#" || wanted[0] === "+")) return false;
  for (const [index, level] of wanted.entries()) {
    if (level === "#") return true;
    if (index >= levels.length || (level !== "+" && level !== levels[index])) return false;
  }
  return wanted.length === levels.length;
}

interface Branch {
  readonly children: Map<string, Branch>;
  /** The filter that ends here, and how many asked for it. */
  filter: string | undefined;
  count: number;
}

/** The filters under one first level, each counted as often as it was added. */
export class FilterSet {
  readonly #firstLevel: string;
  readonly #root: Branch = newBranch();
  #size = 0;
  #changes = 0;

  /** @param firstLevel filters that begin otherwise are not kept, and topics that do match none */
  constructor(firstLevel: string) {
    this.#firstLevel = `${firstLevel}/`;
  }

  /** How many different filters there are. */
  get size(): number {
    return this.#size;
  }

  /** Rises whenever `matching` may answer otherwise than before. */
  get changes(): number {
    return this.#changes;
  }

  /** @returns whether the filter is new. */
  add(filter: string): boolean {
    if (!filter.startsWith(this.#firstLevel)) return false;
    let branch = this.#root;
    for (const level of filter.split("/")) {
      let child = branch.children.get(level);
      if (child === undefined) {
        child = newBranch();
        branch.children.set(level, child);
      }
      branch = child;
    }
    branch.count += 1;
    if (branch.count > 1) return false;
    this.#changes += 1;
    branch.filter = filter;
    this.#size += 1;
    return true;
  }

  /** Takes back one `add`. @returns whether the filter is gone. */
  remove(filter: string): boolean {
    if (!filter.startsWith(this.#firstLevel)) return false;
    const levels = filter.split("/");
    const path: Branch[] = [this.#root];
    for (const level of levels) {
      const child = path.at(-1)?.children.get(level);
      if (child === undefined) return false;
      path.push(child);
    }
    const last = path.at(-1) as Branch;
    if (last.count === 0) return false;
    last.count -= 1;
    if (last.count > 0) return false;
    this.#changes += 1;
    last.filter = undefined;
    this.#size -= 1;
    for (let depth = levels.length; depth > 0 && isEmpty(path[depth] as Branch); depth -= 1) {
      path[depth - 1]?.children.delete(levels[depth - 1] as string);
    }
    return true;
  }

  /** The filters that take this topic. */
  matching(topic: string): string[] {
    const found: string[] = [];
    if (this.#size > 0 && topic.startsWith(this.#firstLevel)) {
      collect(this.#root, topic.split("/"), 0, found);
    }
    return found;
  }
}

function collect(branch: Branch, levels: readonly string[], depth: number, found: string[]): void {
  const rest = branch.children.get("#");
  if (rest?.filter !== undefined) found.push(rest.filter);
  const level = levels[depth];
  if (level === undefined) {
    if (branch.filter !== undefined) found.push(branch.filter);
    return;
  }
  const exact = branch.children.get(level);
  if (exact !== undefined) collect(exact, levels, depth + 1, found);
  const any = branch.children.get("+");
  if (any !== undefined) collect(any, levels, depth + 1, found);
}

function newBranch(): Branch {
  return { children: new Map(), filter: undefined, count: 0 };
}

function isEmpty(branch: Branch): boolean {
  return branch.filter === undefined && branch.children.size === 0;
}
