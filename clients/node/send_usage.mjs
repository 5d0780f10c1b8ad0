// Sends usage events and reads the usage back: gRPC from protos/ as they are, without generated code.
//   WEIR_API_KEY=weir_test_… node send_usage.mjs SUBSCRIPTION EVENT_CODE METER COUNT [PROPERTY=VALUE…]
import { fileURLToPath } from "node:url";

import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const DEADLINE_MS = 10_000;
const TRIES = 4;
const { UNAVAILABLE, RESOURCE_EXHAUSTED } = grpc.status;

const root = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const definition = loader.loadSync("weir/metering/v1/metering.proto", {
  includeDirs: [root("protos"), root("third_party/googleapis")],
  keepCase: true, // fields are named as the contract names them
  longs: String, // an int64 does not fit a JavaScript number
  defaults: true, // without it, fields that are 0 or empty are missing from answers
});
const { MeteringService } = grpc.loadPackageDefinition(definition).weir.metering.v1;

const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${process.env.WEIR_API_KEY ?? ""}`);
const metering = new MeteringService(
  process.env.WEIR_METERING_TARGET ?? "127.0.0.1:7001",
  grpc.credentials.createInsecure(),
  { "grpc.service_config": JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }) },
);

const once = (method, request) =>
  new Promise((resolve, reject) =>
    metering[method](request, metadata, { deadline: Date.now() + DEADLINE_MS }, (error, answer) =>
      error ? reject(error) : resolve(answer),
    ),
  );

// Trying again is safe whatever became of the try before: an event counts once for its transaction_id.
async function call(method, request) {
  for (let tries = 1; ; tries++) {
    try {
      return await once(method, request);
    } catch (error) {
      if (tries === TRIES || ![UNAVAILABLE, RESOURCE_EXHAUSTED].includes(error.code)) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100 * 2 ** tries));
    }
  }
}

const seconds = (date) => ({ seconds: Math.floor(date.getTime() / 1000), nanos: 0 });

async function main([subscription_id, code, meter, count, ...pairs]) {
  const now = new Date();
  const properties = Object.fromEntries(pairs.map((pair) => pair.split("=", 2)));
  const events = Array.from({ length: Number(count) }, (_, i) => ({
    transaction_id: `node-${now.getTime()}-${i}`, // in a product: the id of what was used
    subscription_id,
    code,
    timestamp: seconds(now),
    properties,
  }));

  const sent = await call("IngestEvents", { events });
  console.log(`accepted ${sent.accepted_count}, duplicates ${sent.duplicate_indexes.length}`);
  for (const { index, field, reason, message } of sent.failures) console.log(`event ${index}: ${field}: ${reason}: ${message}`);

  const start_time = seconds(new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)));
  const end_time = seconds(new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)));
  const { usages } = await call("GetUsage", { subscription_id, meter_codes: [meter], period: { start_time, end_time } });
  for (const { meter_code, quantity, event_count } of usages) {
    console.log(`${meter_code} this month: ${quantity} from ${event_count} events`);
  }
}

const given = process.argv.slice(2);
if (given.length < 4) {
  console.error("usage: node send_usage.mjs SUBSCRIPTION EVENT_CODE METER COUNT [PROPERTY=VALUE…]");
  process.exit(2);
}
try {
  await main(given);
} catch (error) {
  console.error(`${grpc.status[error.code] ?? "error"}: ${error.details ?? error.message}`);
  process.exitCode = 1;
} finally {
  metering.close();
}
