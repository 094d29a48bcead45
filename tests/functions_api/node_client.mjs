// What AWS's own client for Node.js is told: one JSON value per line. The zip comes on stdin.
import {
  CreateAliasCommand, CreateFunctionCommand, CreateFunctionUrlConfigCommand, DeleteFunctionCommand, GetFunctionCommand,
  InvokeCommand, InvokeWithResponseStreamCommand, LambdaClient, PublishVersionCommand, TagResourceCommand,
  UpdateFunctionCodeCommand, paginateListFunctions, waitUntilFunctionActiveV2, waitUntilFunctionUpdatedV2,
} from "@aws-sdk/client-lambda";
import { readFileSync } from "node:fs";

const zip = readFileSync(0);
const client = new LambdaClient({ maxAttempts: 1 });
const text = (bytes) => Buffer.from(bytes ?? "").toString();
const say = (...values) => console.log(JSON.stringify(values));
const send = (Command, given) => client.send(new Command({ FunctionName: "made", ...given }));
const refused = async (work) => {
  try {
    await work;
  } catch (error) {
    say(error.name, error.message, error.$metadata.httpStatusCode);
  }
};
const wait = { client, maxWaitTime: 60, minDelay: 1 };

const made = await send(CreateFunctionCommand, {
  Runtime: "python3.11", Role: "arn:aws:iam::000000000000:role/r", Handler: "app.handler", Code: { ZipFile: zip },
});
say(made.$metadata.httpStatusCode, made.PackageType);
await waitUntilFunctionActiveV2(wait, { FunctionName: "made" });
const invoked = await send(InvokeCommand, { Payload: JSON.stringify({ a: "ü" }), LogType: "Tail" });
say(invoked.StatusCode, invoked.ExecutedVersion, text(invoked.Payload), invoked.LogResult);
say((await send(InvokeCommand, { InvocationType: "Event", Payload: "{}" })).StatusCode);
say((await send(InvokeCommand, { InvocationType: "DryRun" })).StatusCode);
const { Version } = await send(PublishVersionCommand, {});
const alias = await send(CreateAliasCommand, { Name: "live", FunctionVersion: Version });
say(alias.AliasArn, (await send(InvokeCommand, { Qualifier: "live", Payload: "1" })).ExecutedVersion);
for await (const part of (await send(InvokeWithResponseStreamCommand, { Payload: "[1]" })).EventStream) {
  say(part.PayloadChunk ? text(part.PayloadChunk.Payload) : Object.keys(part));
}
for await (const page of paginateListFunctions({ client }, {})) say(page.Functions.map((each) => each.FunctionName));
await client.send(new TagResourceCommand({ Resource: made.FunctionArn, Tags: { "a b": "ü/+" } }));
const got = await send(GetFunctionCommand, {});
say(got.Tags, Buffer.from(await (await fetch(got.Code.Location)).arrayBuffer()).equals(zip));
say((await send(CreateFunctionUrlConfigCommand, { AuthType: "NONE" })).AuthType);
await send(UpdateFunctionCodeCommand, { ZipFile: zip });
await waitUntilFunctionUpdatedV2(wait, { FunctionName: "made" });
await refused(send(UpdateFunctionCodeCommand, { ZipFile: Buffer.from("no zip") }));
await refused(client.send(new InvokeCommand({ FunctionName: "nobody" })));
await refused(new LambdaClient({ maxAttempts: 1, credentials: { accessKeyId: "AKIAX", secretAccessKey: "x" } })
  .send(new GetFunctionCommand({ FunctionName: "made" })));
say((await send(DeleteFunctionCommand, {})).$metadata.httpStatusCode);
