import type { Store } from "./store-port.ts";

const pageNames = 1000;

/** All names that begin so, in order, a page at a time: there may be more than fit into memory. */
export async function* namePages(
  store: Pick<Store, "names">,
  prefix: string,
): AsyncGenerator<readonly string[]> {
  for (let after: string | undefined = prefix; after !== undefined;) {
    const names: string[] = await store.names(prefix, { after, max: pageNames });
    if (names.length > 0) yield names;
    after = names.at(-1);
  }
}
