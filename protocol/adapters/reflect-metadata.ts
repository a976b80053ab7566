/**
 * The part of the metadata reflection proposal that the certificate library's dependency injection asks for at load:
 * what decorators noted about a class, kept beside it. It stays out of the way where the whole is already there.
 */
export type Notes = Map<unknown, unknown>;

interface Reflection {
  defineMetadata?(key: unknown, value: unknown, target: object): void;
  getOwnMetadata?(key: unknown, target: object): unknown;
  getMetadata?(key: unknown, target: object): unknown;
  metadata?(key: unknown, value: unknown): (target: object, member?: unknown) => void;
}

const notes = new WeakMap<object, Notes>();
const reflection: Reflection & typeof Reflect = Reflect;

function define(key: unknown, value: unknown, target: object): void {
  const own = notes.get(target);
  if (own) own.set(key, value);
  else notes.set(target, new Map([[key, value]]));
}

function find(key: unknown, target: object | null): unknown {
  for (let holder = target; holder !== null; holder = Reflect.getPrototypeOf(holder)) {
    const own = notes.get(holder);
    if (own?.has(key)) return own.get(key);
  }
  return undefined;
}

if (reflection.getMetadata === undefined) {
  reflection.defineMetadata = define;
  reflection.getOwnMetadata = (key, target) => notes.get(target)?.get(key);
  reflection.getMetadata = find;
  reflection.metadata = (key, value) => (target, member) => {
    // Notes on a class's members are not asked for.
    if (member === undefined) define(key, value, target);
  };
}
