/**
 * Deliberate breakages, each of which the simulator must notice: the rules that hold the log together, taken away one
 * at a time. `mutants.ts` applies them, to a copy.
 */
export interface Edit {
  readonly file: string;
  /** Text that is in the file once. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  /** The rule that is broken. */
  readonly name: string;
  /** More than one where a second guard does the same. */
  readonly edits: readonly Edit[];
  /** Tests elsewhere that must notice, of what the simulated state does not show: paths under `test`, without the end. */
  readonly tests?: readonly string[];
}

/** A breakage of one place. */
export function broken(name: string, file: string, find: string, replace: string): Mutant {
  return { name, edits: [{ file, find, replace }] };
}
