"""A photo has come into the bucket: make its thumbnail, and tell of it. An event may come twice: all of it may, too."""

import io
import json
from urllib.parse import unquote_plus

import boto3
from PIL import Image

SIZE = (200, 200)

s3 = boto3.client("s3")
dynamodb = boto3.client("dynamodb")
kinesis = boto3.client("kinesis")


def handler(event, context):
    return [take(each["s3"]["bucket"]["name"], unquote_plus(each["s3"]["object"]["key"])) for each in event["Records"]]


def take(bucket, key):
    """`in/ada/cat.png` is Ada's."""
    photo = Image.open(io.BytesIO(s3.get_object(Bucket=bucket, Key=key)["Body"].read()))
    width, height = photo.size
    thumbnail = "out/" + key.removeprefix("in/").rpartition(".")[0] + ".jpg"
    s3.put_object(Bucket=bucket, Key=thumbnail, Body=small(photo), ContentType="image/jpeg")
    user = key.split("/")[1]
    dynamodb.put_item(
        TableName="images",
        Item={
            "id": {"S": key},
            "user": {"S": user},
            "thumbnail": {"S": thumbnail},
            "width": {"N": str(width)},
            "height": {"N": str(height)},
        },
    )
    kinesis.put_record(StreamName="uploads", PartitionKey=user, Data=json.dumps({"user": user, "photo": key}).encode())
    print(f"{key}: {width} x {height} -> {thumbnail}")
    return thumbnail


def small(photo):
    photo = photo.convert("RGB")
    photo.thumbnail(SIZE)
    made = io.BytesIO()
    photo.save(made, "JPEG")
    return made.getvalue()
