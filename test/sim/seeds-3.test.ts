/** A file of its own, so that it may run beside the others. */
import t from "tap";
import { rowHolds } from "./seed-tests.ts";

rowHolds(t, 3);
