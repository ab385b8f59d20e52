import json
import unittest

import handler


class Greeting(unittest.TestCase):
    def body(self, event):
        answer = handler.handle(event, fault=0)
        self.assertEqual(answer["statusCode"], 200)
        return json.loads(answer["body"])

    def test_greets_whoever_is_named(self):
        self.assertEqual(self.body({"queryStringParameters": {"name": "Ada"}})["greeting"], "Hello, Ada!")

    def test_greets_without_a_name(self):
        for event in ({}, {"queryStringParameters": None}):
            self.assertEqual(self.body(event)["greeting"], "Hello, tide!")

    def test_a_long_name_is_cut(self):
        self.assertEqual(self.body({"queryStringParameters": {"name": "x" * 1000}})["greeting"], "Hello, " + "x" * 40 + "!")

    def test_counts_its_answers(self):
        first = self.body({})["answered_by_this_instance"]
        self.assertEqual(self.body({})["answered_by_this_instance"], first + 1)


class Fault(unittest.TestCase):
    def test_the_share_of_errors_is_as_asked(self):
        statuses = [handler.handle({}, fault=0.05, chance=lambda: n / 100)["statusCode"] for n in range(100)]
        self.assertEqual(statuses.count(500), 5)
        self.assertEqual(statuses.count(200), 95)

    def test_shares_are_read(self):
        self.assertEqual([handler.share(text) for text in ("0%", "5%", " 100% ", "0.05", "2.5%")], [0, 0.05, 1, 0.05, 0.025])

    def test_what_is_no_share_is_refused(self):
        for text in ("", "%", "five", "101%", "-1%", "nan"):
            with self.assertRaisesRegex(ValueError, "FAULT must be a share"):
                handler.share(text)


if __name__ == "__main__":
    unittest.main()
