/** LevelDB's checksums: CRC-32C, masked so that one over bytes that hold another is not like it. */

const table = new Uint32Array(256).map((_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

/** Takes one more byte into a CRC, which begins as -1 and is inverted at the end. */
export function crcStep(crc: number, byte: number): number {
  return (table[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
}

/** As LevelDB stores it. @param crc what `crcStep` came to */
export function masked(crc: number): number {
  const whole = ~crc >>> 0;
  return (((whole >>> 15) | (whole << 17)) + 0xa282ead8) >>> 0;
}

/** As LevelDB stores it of some bytes. */
export function checksumOf(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) crc = crcStep(crc, byte);
  return masked(crc);
}
