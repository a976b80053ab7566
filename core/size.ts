/** Sizes as people write and read them. */

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** `14 MiB`, `1.25 GiB`: to three digits at most. */
export function sizeText(bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  const digits = power === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${units[power]}`;
}

const quantityFactors: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
  Pi: 1024 ** 5,
};

/** Bytes of a Kubernetes quantity: `512Mi`, `2G`, `1.5Gi`, `1e9`. @returns undefined for what is none */
export function parseQuantity(text: string): number | undefined {
  const [, number, unit = ""] =
    /^([0-9]+(?:\.[0-9]*)?(?:[eE][0-9]{1,2})?)([kMGTP]|[KMGTP]i)?$/.exec(text) ?? [];
  const factor = quantityFactors[unit];
  if (number === undefined || factor === undefined) return undefined;
  const bytes = Math.ceil(Number(number) * factor);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
