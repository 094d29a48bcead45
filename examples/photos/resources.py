"""Make what the example needs of AWS: a bucket that notifies a queue, two tables, a stream. May be run again."""

import boto3

REGION = boto3.session.Session().region_name or "us-east-1"


def main():
    s3, sqs = boto3.client("s3", region_name=REGION), boto3.client("sqs", region_name=REGION)
    where = {} if REGION == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
    unless_there(s3.create_bucket, Bucket="photos", **where)
    url = sqs.create_queue(QueueName="photos-events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    may_notify = (
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},'
        f' "Action": "sqs:SendMessage", "Resource": "{arn}"}}]}}'
    )
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": may_notify, "VisibilityTimeout": "60"})
    notify = {"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]}
    s3.put_bucket_notification_configuration(Bucket="photos", NotificationConfiguration=notify)
    for table in ("images", "users"):
        unless_there(
            boto3.client("dynamodb", region_name=REGION).create_table,
            TableName=table,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    unless_there(boto3.client("kinesis", region_name=REGION).create_stream, StreamName="uploads", ShardCount=1)


def unless_there(make, **arguments):
    try:
        make(**arguments)
    except Exception as error:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        if code not in ("BucketAlreadyOwnedByYou", "ResourceInUseException"):
            raise


if __name__ == "__main__":
    main()
