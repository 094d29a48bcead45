"""Who has put in how many photos. A set of them, not a number: a record that comes twice counts once."""

import base64
import json

import boto3

dynamodb = boto3.client("dynamodb")


def handler(event, context):
    """The first record that fails, and all after it, come again; the others do not."""
    for record in event["Records"]:
        try:
            count(json.loads(base64.b64decode(record["kinesis"]["data"])))
        except Exception as error:
            print(f"{record['eventID']}: {error!r}")
            return {"batchItemFailures": [{"itemIdentifier": record["kinesis"]["sequenceNumber"]}]}
    return {"batchItemFailures": []}


def count(upload):
    told = dynamodb.update_item(
        TableName="users",
        Key={"id": {"S": upload["user"]}},
        UpdateExpression="ADD photos :photo",
        ExpressionAttributeValues={":photo": {"SS": [upload["photo"]]}},
        ReturnValues="ALL_NEW",
    )
    print(f"{upload['user']} has {len(told['Attributes']['photos']['SS'])} photos")
