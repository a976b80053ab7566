/** What was asked of the product, and what it said yes to: held in memory, apart from everything that is tested. */

/** One PUBLISH. What is sent again is another one, under the name of its own. */
export interface Sent {
  /** `UPDATE.TRY`: no two of a device are the same. */
  readonly value: string;
  /** Which of the device's connections carried it. */
  readonly connection: number;
  acked: boolean;
}

/** Everything that one device sent, in the order in which it did. */
export interface Reports {
  readonly node: string;
  readonly device: string;
  readonly sent: Sent[];
}

export interface Wish {
  /** A whole number; each is larger than those before. */
  readonly value: string;
  /** The cloud said that it is so. Otherwise it may be. */
  acked: boolean;
}

/** Everything that was wanted of one device's property, in order: none was asked for before the one before it had ended. */
export interface Wishes {
  readonly node: string;
  readonly device: string;
  readonly wished: Wish[];
  /** What came out of the node as `delta`, each time that it changed. */
  readonly deltas: string[];
}

export class Ledger {
  readonly reports: Reports[] = [];
  readonly wishes: Wishes[] = [];

  reportsOf(node: string, device: string): Reports {
    const reports: Reports = { node, device, sent: [] };
    this.reports.push(reports);
    return reports;
  }

  wishesOf(node: string, device: string): Wishes {
    const wishes: Wishes = { node, device, wished: [], deltas: [] };
    this.wishes.push(wishes);
    return wishes;
  }

  get counts(): {
    readonly sent: number;
    readonly acked: number;
    readonly wished: number;
    readonly set: number;
  } {
    let [sent, acked, wished, set] = [0, 0, 0, 0];
    for (const { sent: all } of this.reports) {
      sent += all.length;
      for (const each of all) if (each.acked) acked += 1;
    }
    for (const { wished: all } of this.wishes) {
      wished += all.length;
      for (const each of all) if (each.acked) set += 1;
    }
    return { sent, acked, wished, set };
  }
}

/** What must be wanted in the end: the last that was confirmed, or one that came after it. */
export function lastWishes({ wished }: Wishes): string[] {
  const confirmed = wished.findLastIndex(({ acked }) => acked);
  return wished.slice(Math.max(0, confirmed)).map(({ value }) => value);
}
