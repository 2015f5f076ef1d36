// A frontend's way through the API: log in, check a code, register, read back.
//
//     LIITY_EMAIL=… LIITY_PASSWORD=… node docs/examples/register.mjs [--child]
//
// Over TLS if LIITY_GATEWAY_CA names a file: the PEM of the CA of the gateway's certificate.
// `make setup` writes gen/liity.binpb: all contracts with what they import, in one file.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import protoLoader from "@grpc/proto-loader";
import protobuf from "protobufjs";

const CONTRACTS = new URL("../../gen/liity.binpb", import.meta.url);
const { liity } = grpc.loadPackageDefinition(
  protoLoader.loadFileDescriptorSetFromBuffer(readFileSync(CONTRACTS), {
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
  }),
);

// What errors carry: googleapis, google/rpc/status.proto and error_details.proto.
const rpc = protobuf.parse(`
  syntax = "proto3";
  package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; }
  message BadRequest {
    message FieldViolation { string field = 1; string description = 2; string reason = 3; }
    repeated FieldViolation field_violations = 1;
  }
  message Help {
    message Link { string description = 1; string url = 2; }
    repeated Link links = 1;
  }
`, { keepCase: true }).root;

const ADDRESS = {
  street_address: "Esimerkkikatu 1",
  postcode: "00100",
  post_office: "Helsinki",
  municipality: "Helsinki",
};

// Artificial codes, as published for testing: only these and their like may stand in tests and examples.

const ADULT = {
  code: "050594U903M",
  form: {
    first_names: "Eino",
    last_name: "Esimerkki",
    address: ADDRESS,
    email: "eino@posti.example",
    language: "LANGUAGE_FI",
    entitlement_declared: true,
    kind: "CUSTOMER_KIND_ONLINE",
    applicant: "APPLICANT_SELF",
    terms_accepted: true,
    credentials_recipient: "CREDENTIALS_RECIPIENT_CUSTOMER",
  },
};

const CHILD = {
  code: "020516C903K",
  form: {
    first_names: "Helmi",
    last_name: "Esimerkki",
    address: ADDRESS,
    language: "LANGUAGE_FI",
    entitlement_declared: true,
    kind: "CUSTOMER_KIND_ONLINE",
    applicant: "APPLICANT_GUARDIAN",
    related_person: { full_name: "Outi Esimerkki", email: "outi@posti.example", relation: "äiti" },
    terms_accepted: true,
    credentials_recipient: "CREDENTIALS_RECIPIENT_RELATED_PERSON",
  },
};

/** Calls an RPC; seconds until it is given up. Rejects with the refusal. */
function call(client, method, request, metadata, seconds = 15) {
  const deadline = new Date(Date.now() + seconds * 1000);
  return new Promise((resolve, reject) => {
    client[method](request, metadata, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

/** Registers a person in the caller's unit, unless that has been done. */
async function register(gateway, { code, form }) {
  const { LIITY_GATEWAY_CA: ca } = process.env;
  const credentials = ca ? grpc.credentials.createSsl(readFileSync(ca)) : grpc.credentials.createInsecure();
  const auth = new liity.v1.AuthService(gateway, credentials);
  const registrations = new liity.v1.RegistrationService(gateway, credentials);
  const metadata = new grpc.Metadata();
  metadata.set("accept-language", "en");

  const { LIITY_EMAIL: email, LIITY_PASSWORD: password } = process.env;
  const { session } = await call(auth, "LogIn", { email, password }, metadata);
  metadata.set("authorization", `Bearer ${session.access_token}`);
  const [{ unit: parent, unit_display_name: unitName }] = session.memberships;
  console.log(`${session.display_name} acts for ${unitName}`);

  const check = { parent, personal_identity_code: code };
  const known = await call(registrations, "CheckPersonalIdentityCode", check, metadata);
  console.log(`The person is ${known.standing}`);

  let name = known.registration;
  if (known.standing === "STANDING_NOT_REGISTERED") {
    // One ID for this Save: who repeats the call after a lost answer repeats the ID too.
    const save = { parent, request_id: randomUUID(), personal_identity_code: code, form };
    const saved = await call(registrations, "RegisterCustomer", save, metadata);
    name = saved.registration.name;
    console.log(`Saved as ${name}`);
  }

  if (name) {
    const { registration } = await call(registrations, "GetRegistration", { name }, metadata);
    const waitingFor = registration.waiting_for.join(", ") || "nobody";
    console.log(`${registration.customer_display_name}: ${registration.stage}, waits for ${waitingFor}`);
    if (registration.deadline) {
      console.log(`until ${new Date(registration.deadline.seconds * 1000).toISOString()}`);
    }
  }
  auth.close();
  registrations.close();
}

/** What a refused call says: its reason, each wrong field, who can help. */
function explanation(error) {
  const [raw] = error.metadata?.get("grpc-status-details-bin") ?? [];
  if (!raw) {
    // Not an answer of Liity's: nobody listens there, or the deadline has passed.
    return `${grpc.status[error.code]}: ${error.details}`;
  }
  const status = rpc.lookupType("google.rpc.Status").decode(raw);
  const lines = [status.message];
  for (const { type_url: url, value } of status.details) {
    const type = url.split("/").pop();
    if (type === "google.rpc.ErrorInfo") {
      lines.push(`  reason ${rpc.lookupType(type).decode(value).reason}, status ${grpc.status[error.code]}`);
    } else if (type === "google.rpc.BadRequest") {
      for (const { field, reason, description } of rpc.lookupType(type).decode(value).field_violations) {
        lines.push(`  ${field}: ${reason}. ${description}`);
      }
    } else if (type === "google.rpc.Help") {
      lines.push("  " + rpc.lookupType(type).decode(value).links.map((link) => link.url).join(", "));
    }
  }
  return lines.join("\n");
}

try {
  const gateway = process.env.LIITY_GATEWAY ?? "127.0.0.1:7400";
  await register(gateway, process.argv.includes("--child") ? CHILD : ADULT);
} catch (error) {
  if (error.code === undefined) throw error;
  console.error(explanation(error));
  process.exit(1);
}
