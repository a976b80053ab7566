import * as fc from "fast-check";
import t from "tap";
import {
  type Property,
  type ValueType,
  maxValueBytes,
  metadataOfType,
  refuseDesired,
  refuseName,
  refuseValue,
  sameValue,
  typeOfMetadata,
  valueTypes,
} from "../../protocol/devices/values.ts";

t.test("a value must read as its declared type", async (t) => {
  const cases: [ValueType | undefined, string[], string[]][] = [
    ["INT", ["0", "-5", "+7", "9223372036854775807", "-9223372036854775808"], ["", "1.0", "1e3", "a", " 1"]],
    ["INT", ["0000000000000000001"], ["9223372036854775808", "-9223372036854775809", "99999999999999999999"]],
    ["FLOAT", ["1", "-1.5", ".5", "5.", "1e-7", "NaN", "+Inf", "-infinity"], ["", ".", "1,5", "0x10", "e5"]],
    ["DOUBLE", ["3.14"], ["pi"]],
    ["BOOLEAN", ["true", "false"], ["True", "1", ""]],
    ["STRING", ["", "two words", '{"a":1}', "20 °C", "100%", "😀"], ["\ud800"]],
    ["BYTES", ["AAE="], []],
    ["STREAM", ["true"], []],
    [undefined, ["anything"], []],
  ];
  for (const [type, good, bad] of cases) {
    for (const value of good) t.equal(refuseValue(type, value), undefined, `${type} ${value}`);
    for (const value of bad) t.type(refuseValue(type, value), "string", `${type} not ${value}`);
  }
});

t.test("a value has at most 64 KiB of UTF-8", async (t) => {
  t.equal(refuseValue("STRING", "x".repeat(maxValueBytes)), undefined);
  t.match(refuseValue("STRING", "x".repeat(maxValueBytes + 1)), /longer/);
  t.equal(refuseValue("STRING", "é".repeat(maxValueBytes / 2)), undefined);
  t.match(refuseValue("STRING", "é".repeat(maxValueBytes / 2 + 1)), /longer/);
  t.match(refuseValue("STRING", "😀".repeat(maxValueBytes / 4 + 1)), /longer/);
});

t.test("property names are KubeEdge's", async (t) => {
  for (const name of ["temp", "a-b_c.d,e:f/g@h#1", "x".repeat(128)])
    t.equal(refuseName(name), undefined, name);
  for (const name of ["", "two words", "größe", "x".repeat(129), "a+b"])
    t.match(refuseName(name), /name/, name);
});

const property: Property = { name: "temp", type: "INT", readOnly: false, minimum: "1", maximum: "100" };

t.test("what is wanted must be writable, of the type and in range", async (t) => {
  t.equal(refuseDesired(property, "1"), undefined);
  t.equal(refuseDesired(property, "100"), undefined);
  t.match(refuseDesired(property, "0"), /minimum 1/);
  t.match(refuseDesired(property, "101"), /maximum 100/);
  t.match(refuseDesired(property, "warm"), /integer/);
  t.match(refuseDesired({ ...property, readOnly: true }, "5"), /read-only/);
});

t.test("ranges are numbers' ranges, not texts', and 64-bit integers are compared exactly", async (t) => {
  const big: Property = { ...property, minimum: "9223372036854775806", maximum: undefined };
  t.equal(refuseDesired(big, "9223372036854775806"), undefined);
  t.match(refuseDesired(big, "9223372036854775805"), /minimum/);
  const float: Property = { ...property, type: "FLOAT", minimum: "-1.5", maximum: "20" };
  t.equal(refuseDesired(float, "3"), undefined, "3 is below 20 though not as text");
  t.match(refuseDesired(float, "-2"), /minimum/);
  t.match(refuseDesired(float, "NaN"), /minimum/);
  t.equal(refuseDesired({ ...property, type: "STRING" }, "zzz"), undefined, "text has no range");
  t.equal(
    refuseDesired({ ...property, minimum: "low" }, "5"),
    undefined,
    "a bound that is no number binds nothing",
  );
});

t.test("the same number in other words is the same value", async (t) => {
  t.ok(sameValue("FLOAT", "25", "25.0"));
  t.ok(sameValue("INT", "+5", "005"));
  t.notOk(sameValue("STRING", "25", "25.0"));
  t.notOk(sameValue("INT", "5", "6"));
  t.ok(sameValue("FLOAT", "inf", "+Infinity"));
  t.notOk(sameValue("FLOAT", "inf", "-inf"));
  t.notOk(sameValue(undefined, "1", "1.0"));
});

t.test("every finite number is a FLOAT, and every 64-bit one an INT", async () => {
  fc.assert(
    fc.property(
      fc.double({ noDefaultInfinity: true }),
      (value) => refuseValue("FLOAT", String(value)) === undefined,
    ),
  );
  fc.assert(
    fc.property(
      fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n),
      (value) => refuseValue("INT", String(value)) === undefined,
    ),
  );
});

t.test("type names of payloads", async (t) => {
  for (const [text, type] of Object.entries({
    int: "INT",
    integer: "INT",
    float: "FLOAT",
    boolean: "BOOLEAN",
    String: "STRING",
  })) {
    t.equal(typeOfMetadata(text), type);
  }
  t.equal(typeOfMetadata("deleted"), undefined);
  for (const type of valueTypes) t.ok(["int", "float", "boolean", "string"].includes(metadataOfType(type)));
  t.equal(metadataOfType(undefined), "string");
});
